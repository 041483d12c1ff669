"""How long a training waits for its batches."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.contestants import RELEASE, Size
from relad.data.dataset import PackedDataset
from relad.study.settings import TrainSettings, typed
from relad.training.loop import Trainer
from tests.helpers.packing import write_packed

UPDATES, SUBJECTS, WARM = 24, 6, 8


def loader_share(
    name: str, size: Size, settings: Mapping[str, Any], device: torch.device, **options: Any
) -> dict[str, Any]:
    """Train for some updates on random brains of this size; the first ones are not counted."""
    assert name != RELEASE
    training = {
        **settings["training"],
        "updates": UPDATES,
        "device": device.type,
        "validation": {"subjects": 0, "every": 1, "steps": 1},
        **options,
    }
    with tempfile.TemporaryDirectory() as folder:
        packed = write_packed(Path(folder) / "packed", subjects=SUBJECTS, shape=size)
        part = {"methods": {name: settings["methods"][name]}, "training": training}
        trainer = Trainer(PackedDataset(packed), name, typed(TrainSettings, part), fold=0, seed=0)
        while trainer.done < WARM:
            trainer.advance()
        trainer.seconds |= {"updates": 0.0, "loading": 0.0}
        while trainer.done < UPDATES:
            trainer.advance()
    seconds = trainer.seconds
    return {
        "method": name,
        "update (s)": float(f"{seconds['updates'] / (UPDATES - WARM):.3g}"),
        "waiting": f"{seconds['loading'] / seconds['updates']:.1%}",
    }
