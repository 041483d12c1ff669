"""On a GPU: agreement with the CPU, resuming, the volumes' cache. Skipped without one."""

from __future__ import annotations

import pytest
import torch

from benchmarks.agreement import agreement
from benchmarks.contestants import contestant
from relad.data.dataset import PackedDataset
from relad.methods.synthesis import load_model
from relad.study import config
from tests.helpers.trainings import settings, trainer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
METHODS = ["rela", "ddpm", "unet", "pix2pix", "resvit"]


@pytest.mark.parametrize("name", METHODS)
def test_cuda_agrees_with_the_cpu_and_bfloat16_with_float32(name):
    row = agreement(contestant(name, config.load()), (24, 28, 24), torch.device("cuda"))
    assert row["device to CPU, volume"] < 5e-3  # TF32 convolutions
    assert row["device to CPU, losses"] < 5e-3
    assert row["bfloat16 to float32, volume"] < 0.1
    assert row["bfloat16 to float32, losses"] < 0.1


@pytest.mark.parametrize("option", [{}, {"channels_last": True}, {"device_cache": "never"}])
def test_training_on_cuda_ends_in_a_model(packed, tmp_path, option):
    part = settings(device="cuda", validation={"subjects": 1, "every": 4, "steps": 1}, **option)
    one = trainer(PackedDataset(packed), "rela", part, fold=0, seed=0)
    assert one.volumes.keep is (option.get("device_cache") != "never")
    assert one.run(tmp_path) == 0
    record = one.record()
    assert record["measured"]["peak_memory_mb"] > 0
    assert record["measured"]["device"] == torch.cuda.get_device_name()
    load_model(tmp_path, torch.device("cuda"))


def test_a_training_continues_on_cuda(packed, tmp_path):
    data, part = PackedDataset(packed), settings(device="cuda")
    first = trainer(data, "rela", part, fold=0, seed=0)
    while first.done < 5:
        first.advance()
    first.save_checkpoint(tmp_path / "checkpoint.pt")
    second = trainer(data, "rela", part, fold=0, seed=0)
    assert second.load_checkpoint(tmp_path / "checkpoint.pt")
    a, b = (float(one.step()["denoising"]) for one in (first, second))
    assert a == pytest.approx(b, rel=1e-2)
