"""The packages below ``examples/`` bring methods that keep the protocol."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from relad.cli import main
from relad.study import plugins
from tests.helpers.packages import EXAMPLES


@pytest.fixture
def on_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(installed)
    return installed


def test_each_example_brings_the_method_of_its_folder_s_name(on_path: Path) -> None:
    assert sorted(p.name for p in entry_points(group=plugins.GROUP)) == [e.name for e in EXAMPLES]


@pytest.mark.parametrize("name", [example.name for example in EXAMPLES])
def test_an_example_keeps_the_protocol(
    name: str, on_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.startswith("monai"):
        pytest.importorskip("monai")
    assert main(["check-method", name]) == 0, capsys.readouterr().out
