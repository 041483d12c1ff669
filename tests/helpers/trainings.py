"""Short trainings of small networks on the packed toy cohort."""

from __future__ import annotations

from typing import Any

from relad import cli
from relad.data.dataset import PackedDataset
from relad.study.settings import TrainSettings, typed
from relad.training.loop import Trainer
from tests.helpers.settings import file_of, study

NETWORK = {"channels": [8, 16]}


def settings(**training: Any) -> dict[str, Any]:
    """Resolved settings of a training of twelve updates; ``training`` changes that section."""
    usual = {"updates": 12, "checkpoint_every": 4}
    usual |= {"validation": {"subjects": 0, "every": 4, "steps": 1}}
    whole = study(training=usual | training)
    known = whole["methods"]
    methods = {
        name: known[name] | {"params": {"network": NETWORK}} for name in ("rela", "ddpm", "unet")
    }
    methods["rela"]["params"] = {"network": NETWORK, "discriminator": {"channels": [8, 8]}}
    closed = {name: known[name] for name in ("template", "subject-template")}
    return whole | {"methods": methods | closed}


def trainer(
    data: PackedDataset, name: str, part: dict[str, Any], *, fold: int = 0, seed: int = 0
) -> Trainer:
    """A training from resolved settings as plain data."""
    return Trainer(data, name, typed(TrainSettings, part), fold=fold, seed=seed)


def train(packed: Any, out: Any, method: str, part: dict[str, Any] | None = None) -> int:
    named = ["--method", method, "--fold", "0", "--seed", "0"]
    return cli.main(
        ["train", str(packed), str(out), *named, "--settings", file_of(part or settings())]
    )
