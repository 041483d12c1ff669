"""Each baseline learns one small pair by heart, at a small size; in full: benchmarks/overfit.py."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.overfit import overfit
from relad.data.batch import Batch
from relad.methods.method import build
from relad.study.sampling import Sampling, of_method
from relad.study.settings import TrainedMethod, typed
from tests.helpers.settings import study

SIZE = (16, 16, 16)
RESVIT = {"base_channels": 4, "blocks": 6, "width": 16, "depth": 1, "heads": 2}
LATENT = {
    "lr": 3e-3,
    "autoencoder_share": 0.5,
    "adversary_from": 0.6,
    "network": {"channels": [16, 32]},
    "discriminator": {"channels": [8, 8]},
}
#: Method, what is not as the study sets it, updates, and the least rise of the PSNR in dB.
METHODS = {
    "pix2pix": ("pix2pix", {"channels": [8, 16, 16], "lr": 2e-3}, 80, 8.0),
    "resvit": ("resvit", {**RESVIT, "lr": 2e-3}, 40, 6.0),
    "resvit in two stages": ("resvit", {**RESVIT, "lr": 2e-3, "cnn_share": 0.5}, 40, 6.0),
    "cyclegan": ("cyclegan", {"base_channels": 4, "blocks": 2, "lr": 2e-3}, 60, 2.0),
    "unet": ("unet", {"network": {"channels": [16, 32]}, "lr": 3e-3}, 60, 10.0),
    "rectified flow": ("rectified-flow", {"network": {"channels": [16, 32]}, "lr": 3e-3}, 100, 6.0),
    "latent rela": ("latent-rela", LATENT, 90, 6.0),
}


def pair() -> Batch:
    random = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.randn(1, 3, 4, 4, 4, generator=random), SIZE, mode="trilinear"
    )
    mask = torch.ones(1, 1, *SIZE, dtype=torch.bool)
    mask[..., :2] = False
    return Batch(
        mri=smooth[:, 1:],
        tracer=torch.tensor([1]),
        mask=mask,
        pet=torch.where(mask, 0.4 * smooth[:, :1], -1.0),
        outside=torch.tensor(-1.0),
        unseen=torch.zeros_like(mask),
    )


@pytest.mark.parametrize("name", METHODS)
def test_one_pair_is_learned_by_heart(name):
    known, params, updates, rise = METHODS[name]
    whole, b = study(), pair()
    entry = whole["methods"][known]
    sampling = of_method(whole, entry) or Sampling("ddim", 10)
    entry = entry | {"params": entry["params"] | params}
    torch.manual_seed(0)
    method = build(known, typed(TrainedMethod, entry), inputs=2, tracers=2)
    method.prepare([b])

    def judge() -> float:
        method.eval()
        random = [torch.Generator().manual_seed(0)]
        y = method.synthesize(b.condition, sampling=sampling, random=random)
        method.train()
        return -10 * math.log10(float((y - b.pet)[b.mask].square().mean()))

    before = judge()
    seen = overfit(method, b, updates, judge=judge, every=updates, limit=math.inf)
    assert [n for n, _ in seen] == [updates]
    assert seen[-1][1] > before + rise
