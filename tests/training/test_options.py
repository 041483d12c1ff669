"""Settings of the training that change how it computes or what it writes."""

from __future__ import annotations

import sys

import jaxtyping
import pytest
import torch
from torch import nn

from relad.data.batches import Volumes
from relad.data.dataset import PackedDataset
from relad.methods.method import Method
from tests.helpers.trainings import settings, train, trainer


class Slope(Method):
    """One weight vector w with the loss 3 w_1 + 4 w_2: a gradient of norm 5."""

    def __init__(self):
        super().__init__()
        self.generator = nn.ParameterList([nn.Parameter(torch.zeros(2))])
        self.optimizers = {"w": torch.optim.SGD(self.generator.parameters(), lr=1.0)}

    def update(self, batch, *, progress, random):
        self.descend("w", self.generator[0] @ torch.tensor([3.0, 4.0]))
        return {}

    def synthesize(self, batch, *, sampling, random):
        raise NotImplementedError


@pytest.mark.parametrize(("limit", "length"), [(None, 5.0), (10.0, 5.0), (2.0, 2.0)])
def test_gradients_are_limited_by_their_norm(limit, length):
    method = Slope()
    method.clip_norm = limit
    method.update(None, progress=0.0, random=None)
    expected = -length * torch.tensor([0.6, 0.8])
    torch.testing.assert_close(method.generator[0].detach(), expected, atol=1e-5, rtol=0)


def test_the_training_hands_its_limit_to_the_method(packed):
    data = PackedDataset(packed)
    ends = []
    for limit in (None, 1e-3):
        one = trainer(data, "unet", settings(clip_norm=limit), fold=0, seed=0)
        one.method.optimizers["generator"] = torch.optim.SGD(
            one.method.generator.parameters(), lr=1.0
        )
        one.base_lr = {"generator": [1.0]}
        before = [p.detach().clone() for p in one.method.generator.parameters()]
        one.step()
        after = one.method.generator.parameters()
        moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)])
        ends.append(float(torch.linalg.norm(moved.detach())))
    assert ends[0] > 1e-3
    assert ends[1] == pytest.approx(1e-3 * one.method.lr_factor(0.0, "generator"), rel=1e-2)


@pytest.mark.parametrize("option", [{"precision": "bfloat16"}, {"channels_last": True}])
def test_other_arithmetic_gives_nearly_the_same_loss(packed, option):
    data = PackedDataset(packed)
    losses = []
    for options in ({}, option):
        one = trainer(data, "rela", settings(**options), fold=0, seed=0)
        losses.append([float(one.step()["denoising"]) for _ in range(4)])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    if "precision" in option:
        assert losses[0] != losses[1]


def test_a_compiled_generator_trains_and_is_stored_as_any_other(packed, tmp_path, monkeypatch):
    compile_ = nn.Module.compile
    # Captures and differentiates the graph as inductor would, without minutes in a C++ compiler.
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_(self, backend="aot_eager"))
    # The compiler hands in tensors of its own kind, which no check of shapes knows.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    data = PackedDataset(packed)
    plain = trainer(data, "unet", settings(), fold=0, seed=0)
    compiled = trainer(data, "unet", settings(compile=True), fold=0, seed=0)
    for each in (plain, compiled):
        for _ in range(2):
            each.step()
    for (name, a), (other, b) in zip(
        plain.method.state_dict().items(), compiled.method.state_dict().items(), strict=True
    ):
        assert name == other
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_kept_volumes_are_the_read_ones(packed):
    data = PackedDataset(packed)
    one = trainer(data, "unet", settings(), fold=0, seed=0)
    kept = Volumes(data, [0, 1], torch.device("cpu"), keep=True)
    pairs = [(1, 0), (2, 1)]
    for _ in range(2):  # read, then kept
        a = one.volumes.batch(pairs, one.scaling, [True, False])
        b = kept.batch(pairs, one.scaling, [True, False])
        for name in ("mri", "pet", "mask", "tracer"):
            assert torch.equal(getattr(a, name), getattr(b, name))
    plain = one.volumes.batch(pairs, one.scaling)
    assert torch.equal(a.mask[0], plain.mask[0].flip(1)) and torch.equal(a.mask[1], plain.mask[1])


def test_tensorboard_gets_the_log(packed, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    part = settings(tensorboard=True, validation={"subjects": 1, "every": 6, "steps": 1})
    assert train(packed, tmp_path, "unet", part) == 0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("l1")] == list(range(1, 13))
    assert [e.step for e in events.Scalars("validation_psnr")] == [6, 12]


def test_tensorboard_that_is_not_there_is_told(packed, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(packed, tmp_path, "unet", settings(tensorboard=True)) == 2
    assert "pip install tensorboard" in capsys.readouterr().err


def test_the_record_says_what_a_method_looks_at(packed):
    records = {
        n: trainer(PackedDataset(packed), n, settings()).record() for n in ("unet", "template")
    }
    said = {n: (told["reads_mri"], told["single_pass"]) for n, told in records.items()}
    assert said == {"unet": (True, False), "template": (False, True)}
