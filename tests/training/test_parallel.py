"""Several processes train what one trains, up to the rounding of sums."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from relad.compute import parallel
from relad.compute.randomness import randn
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.study.paths import REPOSITORY
from tests.helpers.settings import file_of
from tests.helpers.trainings import settings, trainer

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def relad(*arguments: str, by: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *by, "-m", "relad", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("method", ["rela"])
def test_two_processes_train_what_one_does(packed, tmp_path, method):
    part = settings(batch_size=4, clip_norm=0.5, validation={"subjects": 1, "every": 5, "steps": 2})
    part["methods"]["rela"]["params"]["adversary_from"] = 0.3
    options = ["train", str(packed), "--method", method, "--fold", "0"]
    folders = [tmp_path / name for name in ("one", "two", "torchrun")]
    for folder in folders:
        part["training"]["processes"] = 2 if folder.name == "two" else 1
        by = TORCHRUN if folder.name == "torchrun" else ()
        done = relad(*options, str(folder), "--settings", file_of(part), by=by)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two, by_torchrun = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(two[name], by_torchrun[name]) for name in two)
    assert one.keys() == two.keys()
    flat = [torch.cat([v.flatten() for v in weights.values()]) for weights in (one, two)]
    assert torch.linalg.norm(flat[0] - flat[1]) < 1e-4 * torch.linalg.norm(flat[0])
    logs = [read_table(folder / "log.csv") for folder in folders[:2]]
    assert len(logs[0]) == len(logs[1]) == 12
    for a, b in zip(*logs, strict=True):
        for key in set(a) - {"seconds"}:
            assert (a[key] is None) == (b[key] is None)
            if a[key] is not None:
                assert float(a[key]) == pytest.approx(float(b[key]), rel=1e-3, abs=1e-5), key
    records = [read_json(folder / "train.json") for folder in folders[:2]]
    assert [record["measured"]["processes"] for record in records] == [1, 2]
    assert records[0]["validation"]["update"] == records[1]["validation"]["update"]


def test_random_numbers_belong_to_samples_not_to_processes(monkeypatch):
    whole = randn((4, 3), torch.Generator().manual_seed(0))
    monkeypatch.setattr(parallel, "size", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        parts.append(randn((2, 3), torch.Generator().manual_seed(0)))
    assert torch.equal(torch.cat(parts), whole)


def test_a_batch_that_cannot_be_shared_is_refused(packed, monkeypatch):
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with pytest.raises(ReladError, match=r"batch_size 3 cannot be shared by 2"):
        trainer(PackedDataset(packed), "unet", settings(batch_size=3), fold=0, seed=0)
    trainer(PackedDataset(packed), "template", settings(batch_size=3), fold=0, seed=0)
