"""Several processes train what one trains, up to the rounding of sums."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from baselines.cyclegan import ImagePool
from relad.compute import parallel
from relad.compute.randomness import randn
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.study.paths import REPOSITORY
from tests.helpers.settings import file_of, study
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


def trained(packed, folder, method, part) -> dict[str, torch.Tensor]:
    """Weights, by as many processes as the folder's name says."""
    part["training"]["processes"] = 2 if folder.name == "two" else 1
    by = TORCHRUN if folder.name == "torchrun" else ()
    options = ["--method", method, "--fold", "0", "--settings", file_of(part)]
    done = relad("train", str(packed), str(folder), *options, by=by)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / "model.safetensors")


def assert_equal_but_for_rounding(one, two, share: float) -> None:
    assert one.keys() == two.keys()
    flat = [torch.cat([v.flatten() for v in weights.values()]) for weights in (one, two)]
    assert torch.linalg.norm(flat[0] - flat[1]) < share * torch.linalg.norm(flat[0])


def test_two_processes_train_what_one_does(packed, tmp_path):
    part = settings(batch_size=4, clip_norm=0.5, validation={"subjects": 1, "every": 5, "steps": 2})
    part["methods"]["rela"]["params"]["adversary_from"] = 0.3
    folders = [tmp_path / name for name in ("one", "two", "torchrun")]
    one, two, by_torchrun = (trained(packed, folder, "rela", part) for folder in folders)
    assert all(torch.equal(two[name], by_torchrun[name]) for name in two)
    assert_equal_but_for_rounding(one, two, 1e-4)
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


LATENT = {
    "prediction": "v",
    "weighting": "v",
    "autoencoder_channels": [8, 8],
    "autoencoder_share": 0.5,
    "adversary_from": 0.6,
    "network": {"channels": [8, 8]},
    "discriminator": {"channels": [8, 8]},
}


def test_moments_of_latents_are_those_of_all_processes(packed, tmp_path):
    part = settings(batch_size=4)
    part["methods"] = {"latent-rela": study()["methods"]["latent-rela"] | {"params": LATENT}}
    one, two = (trained(packed, tmp_path / name, "latent-rela", part) for name in ("one", "two"))
    assert_equal_but_for_rounding(one, two, 1e-5)
    for name in ("generator.mean", "generator.variance"):
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


def exchanges() -> tuple[torch.Tensor, torch.Tensor]:
    """What D is shown of numbered volumes by a pool of six, and what the pool holds in the end."""
    pool, random = ImagePool(6), torch.Generator().manual_seed(0)
    batches = torch.arange(80.0).view(20, 4, 1, 1, 1, 1)
    shown = [pool.exchange(parallel.share(batch), random) for batch in batches]
    return torch.stack(shown), pool.kept


def exchange_in_one_of_two(rank: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": (folder / "port").read_text()}
    with parallel.processes("cpu"):
        torch.save(exchanges(), folder / f"{rank}.pt")


def test_processes_share_the_pool_of_a_discriminator(tmp_path):
    """Not by the weights: Adam makes 1e-4 of a rounding at CycleGAN's first update."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    torch.multiprocessing.spawn(exchange_in_one_of_two, (tmp_path,), nprocs=2)
    of_rank = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    shown, kept = exchanges()
    assert torch.equal(torch.cat([shown for shown, _ in of_rank], dim=1), shown)
    assert all(torch.equal(of, kept) for _, of in of_rank)


def test_statistics_of_a_batch_that_is_shared_are_refused(packed, monkeypatch):
    part = settings(batch_size=4)
    part["methods"] = {"rela-as-released": study()["methods"]["rela-as-released"]}
    trainer(PackedDataset(packed), "rela-as-released", part, fold=0, seed=0)
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with pytest.raises(ReladError, match="normalises over the volumes of a batch"):
        trainer(PackedDataset(packed), "rela-as-released", part, fold=0, seed=0)


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
