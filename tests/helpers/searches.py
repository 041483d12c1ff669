"""Short searches of small networks on the packed toy cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relad.data.dataset import PackedDataset
from relad.study.settings import SearchSettings, typed
from relad.tuning.search import Search
from tests.helpers.trainings import settings as training_settings

LR = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
CHANNELS = {"type": "categorical", "choices": [[8, 16], [4, 4]], "log": False}


def settings(**tuning: Any) -> dict[str, Any]:
    """Resolved settings of searches of three trials, three updates each."""
    part = training_settings(
        ema_decay=0.0, checkpoint_every=1, validation={"subjects": 1, "every": 3, "steps": 1}
    )
    space = {"unet": {"lr": LR, "network.channels": CHANNELS}, "ddpm": {"lr": LR}}
    part["tuning"] = {"trials": 3, "updates": 3, "sampler": "tpe", "seed": 2, "space": space}
    part["tuning"] |= tuning
    return part


def search(packed: Path, out: Path, method: str = "unet", **tuning: Any) -> Search:
    part = typed(SearchSettings, settings(**tuning))
    return Search(PackedDataset(packed), method, part, fold=0, out=out)
