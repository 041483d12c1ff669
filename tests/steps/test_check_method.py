from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from relad.cli import main
from relad.conformance import CHECKS, Outcome, Status
from relad.study import plugins
from tests.conformance import faults
from tests.helpers.settings import file_of, study


def entry(name: str) -> dict[str, object]:
    return {
        "label": name,
        "family": "other",
        "groups": ["main"],
        "ablates": None,
        "class": f"{faults.__name__}:{name}",
        "inputs": ["T1w", "FLAIR"],
        "params": {},
        "sampling": {},
    }


@pytest.mark.parametrize(("name", "status"), [("Sound", 0), ("TracerLost", 1)])
def test_one_line_per_check_and_a_status(
    name: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = file_of(study(methods={"mine": entry(name)}))
    assert main(["check-method", "mine", "--settings", settings]) == status
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line[9:].partition(":")[0] for line in lines] == [c.__name__ for c in CHECKS]
    failed = [line for line in lines if line.startswith("FAILED")]
    assert [line[9:].partition(":")[0] for line in failed] == ["tracer"] * status
    assert all("modulate features after the normalisation" in line for line in failed)
    assert f"{status} FAILED" in summary


def test_an_ablation_is_examined_as_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def examine(name, settings):
        seen[name] = settings.methods[name]
        yield Outcome("nothing", Status.OK, "")

    monkeypatch.setattr("relad.steps.check_method.examine", examine)
    assert main(["check-method", "rela-no-t1w"]) == 0
    assert seen["rela-no-t1w"].inputs == ("FLAIR",)


def test_a_package_with_the_name_of_a_method_of_the_study_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = EntryPoint("unet", "theirs:Method", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda **of: EntryPoints([point]).select(**of))
    monkeypatch.setattr(plugins, "origin", lambda _: "theirs 1.0")
    monkeypatch.setattr("relad.steps.check_method.examine", lambda *_: iter(()))
    assert main(["check-method", "unet"]) == 0
    told = "unet is the study's own; that of theirs 1.0 is not examined"
    assert told in capsys.readouterr().err
    assert main(["check-method", "rela"]) == 0
    assert "study's own" not in capsys.readouterr().err


def test_a_method_of_nobody_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", "nobodys"]) == 2
    said = capsys.readouterr().err
    assert "the study has no method 'nobodys', and no installed package brings" in said
    assert "rela, rela-sampled, rela-paper" in said and said.count("\n") == 1
