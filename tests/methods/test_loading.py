"""Classes that cannot be loaded: what is wrong, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.methods.method import class_of
from relad.study.settings import TrainedMethod


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "import sys; sys.exit()",
            r"\(SystemExit: \) -- its module ends Python when it is imported",
        ),
        ("import nobodys_package.part", "-- install what it needs: nobodys_package"),
        ("other = 1", "-- give it as module:Class in config/methods.yaml"),
    ],
)
def test_a_class_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    (tmp_path / "unloadable.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    entry = TrainedMethod("unloadable:Method", ("T1w",), {}, None)
    with pytest.raises(ReladError, match=rf"method 'mine': .*cannot be loaded .*{told}"):
        class_of("mine", entry)


def test_a_module_that_is_not_there_is_no_package_to_install() -> None:
    entry = TrainedMethod("relad.nowhere:Method", ("T1w",), {}, None)
    with pytest.raises(ReladError, match=r"-- give it as module:Class in config/methods\.yaml"):
        class_of("mine", entry)
