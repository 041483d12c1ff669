"""A part of ``python -m tests.fuzzing``: no traceback, no silent change, nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.cli import STEPS
from tests.fuzzing import arguments, headers
from tests.fuzzing.__main__ import table


def test_altered_headers_are_refused_or_read_unharmed(tmp_path: Path) -> None:
    found = list(headers.run(tmp_path, 150))
    assert [r for r in found if not r.fine] == []
    refused = [r for r in found if r.outcome.startswith("refused")]
    assert len(refused) > 60 and all(len(r.said) > 10 for r in refused)
    assert {r.about for r in found} == {*headers.READ, "all else"}


def test_wrong_arguments_end_in_one_line(tmp_path: Path) -> None:
    found = list(arguments.run(tmp_path / "world", 70))
    assert [r for r in found if not r.fine] == []
    assert {r.command for r in found} == set(arguments.COMMANDS)
    assert set(STEPS) - set(arguments.COMMANDS) == {"doctor"}, "which takes none"
    assert len({r.said for r in found}) > 50, "of many kinds"


def test_what_is_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judges themselves: a traceback, a changed input, a silent change."""
    rng = headers.np.random.default_rng(0)
    data, affine = headers.write_image(tmp_path / "a.nii", rng)
    assert headers.judge(tmp_path / "a.nii", "descrip", data, affine).outcome == "read unharmed"
    assert not headers.judge(tmp_path / "a.nii", "descrip", data + 1, affine).fine
    shifted = affine + headers.np.eye(4)[:, [3]] * 0 + [[0, 0, 0, 3], *[[0] * 4] * 3]
    assert "place" in headers.judge(tmp_path / "a.nii", "descrip", data, shifted).outcome
    world = tmp_path / "world"
    world.mkdir()
    (world / "a").write_text("in")
    before = arguments.contents(world)
    arguments.keep_intact(world)

    def faulty(words: list[str]) -> int:
        if words == ["metrics", "raise"]:
            raise KeyError("a fault")
        (world / ("a" if words[1] == "change" else ".part-1-b")).write_text("out")
        return 2

    monkeypatch.setattr(arguments.cli, "main", faulty)
    outcomes = [arguments.judge("metrics", [word], world, before).outcome
                for word in ("raise", "change", "leave")]  # fmt: skip
    assert outcomes == ["TRACEBACK", "INPUT CHANGED", "LEFT BEHIND"]
    assert arguments.contents(world) == before, "mended for the next command line"


def test_the_table_counts() -> None:
    assert table("x", [("a", "yes"), ("a", "no"), ("b", "yes")]).splitlines()[2:] == [
        "| a | 1 | 1 |", "| b | 0 | 1 |", "| all | 1 | 2 |",
    ]  # fmt: skip
