"""Validation subjects come from the training folds, and the best weights are kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relad.compute import parallel
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr, width
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.results.metrics import voxelwise
from relad.training import validation
from relad.training.logs import DivergedError
from tests.helpers.trainings import settings, train, trainer

EVERY_FOUR = {"subjects": 1, "every": 4, "steps": 1}


def test_subjects_are_cut_from_the_training_folds_alone(packed):
    data = PackedDataset(packed)
    test = {i for i, _ in data.pairs(0, "test")}
    training, held_out = validation.cut(data, data.pairs(0, "train"), 2, fold=0)
    assert len({i for i, _ in held_out}) == 2
    assert sorted(training + held_out) == sorted(data.pairs(0, "train"))
    assert not {i for i, _ in training} & {i for i, _ in held_out}
    assert not test & {i for i, _ in held_out}
    assert validation.cut(data, data.pairs(0, "train"), 2, fold=0) == (training, held_out)
    assert validation.cut(data, data.pairs(0, "train"), 0, fold=0)[1] == []


def test_a_tracer_that_nobody_trains_on_validates_nothing(packed):
    data = PackedDataset(packed)
    everyone = sorted({i for i, _ in data.pairs(0, "train")})
    training, held_out = validation.cut(data, [(i, 0) for i in everyone], 1, fold=0)
    (i, _), *_ = held_out
    assert validation.cut(data, [*training, (i, 0), (i, 1)], 1, fold=0) == (training, [(i, 0)])


def test_nobody_left_to_train_on_is_refused(packed):
    data = PackedDataset(packed)
    with pytest.raises(ReladError, match=r"validation\.subjects is 4, but fold 0 leaves only 4"):
        validation.cut(data, data.pairs(0, "train"), 4, fold=0)


def test_every_method_and_seed_has_the_same_validation_subjects(packed):
    data = PackedDataset(packed)
    a, b = (
        trainer(data, name, settings(validation=EVERY_FOUR), fold=0, seed=seed)
        for name, seed in (("unet", 0), ("template", 3))
    )
    assert a.validation_pairs == b.validation_pairs
    drawn = {subject for update in range(100) for subject, _ in a.batches(update)[0]}
    assert not drawn & {i for i, _ in a.validation_pairs}


def test_psnr_is_that_of_the_evaluation(packed):
    data = PackedDataset(packed)
    truth, mask = np.array(data.pet[0, 0]), np.array(data.mask[0])
    prediction = np.where(mask, truth + np.float32(0.1) * np.sin(np.arange(truth.shape[-1])), -1)
    window = data.windows[data.tracers[0]]
    expected = voxelwise.psnr(
        to_suvr(prediction, window), to_suvr(truth, window), mask, width(window)
    )
    tensors = [torch.from_numpy(a)[None, None] for a in (prediction, truth, mask)]
    assert float(validation.psnr(*tensors)) == pytest.approx(expected, abs=1e-4)


def test_log_and_record_tell_of_the_validation(packed, tmp_path):
    assert train(packed, tmp_path, "unet", settings(validation=EVERY_FOUR)) == 0
    rows = read_table(tmp_path / "log.csv")
    psnr = {int(r["update"]): float(r["validation_psnr"]) for r in rows if r["validation_psnr"]}
    assert list(psnr) == [4, 8, 12]
    chosen = read_json(tmp_path / "train.json")["validation"]
    assert chosen["psnr"] == pytest.approx(max(psnr.values()), abs=1e-3)
    assert psnr[chosen["update"]] == max(psnr.values())
    record = read_json(tmp_path / "train.json")
    assert chosen["pairs"] == 3
    parts = record["subjects"]
    assert len(parts["validation"]) == 1
    assert not set(parts["train"]) & {*parts["validation"], *parts["test"]}
    everyone = {row["subject"] for row in PackedDataset(packed).subjects}
    assert {s for part in parts.values() for s in part} == everyone


def test_the_best_weights_are_kept_not_the_last(packed, tmp_path, monkeypatch):
    script = iter([20.0, 25.0, 10.0])
    seen = []

    def scripted(synthesize, volumes, scaling, pairs, batch_size):
        seen.append({k: v.clone() for k, v in one.average.network.state_dict().items()})
        return next(script)

    monkeypatch.setattr(validation, "mean_psnr", scripted)
    part = settings(validation=EVERY_FOUR)
    one = trainer(PackedDataset(packed), "unet", part, fold=0, seed=0)
    assert one.run(tmp_path) == 0
    stored = load_file(tmp_path / "model.safetensors")
    assert len(seen) == 3
    for key, value in seen[1].items():
        assert torch.equal(stored[f"generator.{key}"], value)
    assert any(not torch.equal(stored[f"generator.{k}"], v) for k, v in seen[2].items())
    assert read_json(tmp_path / "train.json")["validation"]["update"] == 8


@pytest.mark.parametrize("method", ["template", "subject-template"])
def test_what_is_fitted_in_one_pass_is_kept_whole(packed, tmp_path, method):
    """However good it was of the first pairs: part of the people is no mean over them."""
    part = settings(validation={"subjects": 1, "every": 1, "steps": 1})
    assert train(packed, tmp_path, method, part) == 0
    record = read_json(tmp_path / "train.json")
    assert record["validation"]["update"] == record["counts"]["updates"] > 1
    one = trainer(PackedDataset(packed), method, part, fold=0, seed=0)
    while one.done < one.total:
        one.advance()
    stored = load_file(tmp_path / "model.safetensors")
    for key, value in one.method.generator.state_dict().items():
        assert torch.equal(stored[f"generator.{key}"], value)


def test_validation_changes_nothing_of_the_training(packed):
    """The same subjects held out, looked at often or once: the same weights."""
    data = PackedDataset(packed)
    ends = []
    for every in (1, 12):
        part = settings(validation={"subjects": 1, "every": every, "steps": 3})
        one = trainer(data, "rela", part, fold=0, seed=0)
        while one.done < one.total:
            one.advance()
        ends.append(one.method.state_dict())
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


def test_a_stopped_training_remembers_its_best(packed, tmp_path):
    data, part = PackedDataset(packed), settings(validation=EVERY_FOUR)
    first = trainer(data, "unet", part, fold=0, seed=0)
    while first.done < 8:
        first.advance()
    first.save_checkpoint(tmp_path / "checkpoint.pt")
    second = trainer(data, "unet", part, fold=0, seed=0)
    assert second.load_checkpoint(tmp_path / "checkpoint.pt")
    assert second.best["psnr"] == first.best["psnr"]
    assert json.dumps(second.log.rows) == json.dumps(first.log.rows)


@pytest.mark.parametrize(
    ("prediction", "validated_by", "used"),
    [
        ("sample", "dpmpp-3", "dpmpp-3"),
        ("sample", "regression-1", "regression-1"),
        ("epsilon", "regression-1", "regression-1"),
        ("sample", None, "regression-1"),
        # One step from pure noise is 48 times the error of eps_hat, whatever the weights.
        ("epsilon", "ddim-1", "ddim-10"),
        ("epsilon", "ddim-12", "ddim-12"),
    ],
)
def test_weights_are_judged_as_they_are_sampled(
    packed, monkeypatch, prediction, validated_by, used
):
    part = settings(validation={"subjects": 1, "every": 1})
    part["methods"]["rela"]["params"] |= {"prediction": prediction, "clip_sample": 1.0}
    part["methods"]["rela"]["validated_by"] = validated_by
    one = trainer(PackedDataset(packed), "rela", part, fold=0, seed=0)
    seen = []
    synthesize = one.method.synthesize

    def watched(batch, *, sampling, random):
        seen.append(sampling.name)
        return synthesize(batch, sampling=sampling, random=random)

    monkeypatch.setattr(one.method, "synthesize", watched)
    one.advance()
    assert set(seen) == {used}


def test_a_model_that_makes_no_finite_image_is_not_written(
    packed, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(validation, "mean_psnr", lambda *_: -math.inf)
    assert train(packed, tmp_path / "out", "unet", settings(validation=EVERY_FOUR)) == 2
    assert "'unet': at no validation were all its images finite" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("train.json"))


def test_every_process_ends_with_a_training_that_diverged(packed, tmp_path, monkeypatch) -> None:
    """One that went on would wait for the first."""

    def as_seen_by_the_second(*_) -> float:
        monkeypatch.setattr(parallel, "rank", lambda: 1)
        return -math.inf

    monkeypatch.setattr(validation, "mean_psnr", as_seen_by_the_second)
    at_the_end = settings(validation={"subjects": 1, "every": 12, "steps": 1})
    with pytest.raises(DivergedError):
        trainer(PackedDataset(packed), "unet", at_the_end).run(tmp_path)
