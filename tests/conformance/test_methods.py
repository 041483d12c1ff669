"""Every method of the configuration keeps the protocol; a new entry is examined too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from relad.conformance import CHECKS, Status, examine, fresh
from relad.study.settings import TrainSettings
from tests.helpers.settings import of, study

METHODS = [name for name, entry in study()["methods"].items() if entry["ablates"] is None]


@pytest.mark.parametrize("name", ["rela", "rectified-flow"])
def test_the_precision_of_a_study_makes_no_method_fail(name: str) -> None:
    settings = of(TrainSettings)
    training = replace(settings.training, precision="bfloat16")
    checks = [c for c in CHECKS if c.__name__ in ("builds", "shares", "neighbours")]
    found = examine(name, replace(settings, training=training), checks)
    assert [outcome.status for outcome in found] == [Status.OK] * 3


def _note_onednn(file: Path) -> None:
    file.write_text(str(torch.backends.mkldnn.enabled))


@pytest.mark.parametrize(("precision", "used"), [("bfloat16", "False"), ("auto", "True")])
def test_onednn_is_left_out_where_its_gradients_are_unsound(tmp_path, precision, used) -> None:
    def notes(_) -> None:
        """It holds.

        It is mended.
        """
        _note_onednn(tmp_path / "here")
        fresh._run(_note_onednn, tmp_path / "there")

    settings = of(TrainSettings)
    training = replace(settings.training, precision=precision)
    (outcome,) = examine("unet", replace(settings, training=training), [notes])
    assert outcome.status is Status.OK, outcome
    assert [(tmp_path / name).read_text() for name in ("here", "there")] == [used, used]
    assert torch.backends.mkldnn.enabled


@pytest.mark.parametrize("name", METHODS)
def test_a_configured_method_passes(name: str) -> None:
    failed = [o for o in examine(name, of(TrainSettings)) if o.status is Status.FAILED]
    assert failed == [], "\n".join(map(str, failed))
