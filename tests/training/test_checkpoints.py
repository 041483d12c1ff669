"""A checkpoint belongs to one training: its settings, fold, seed, people, data and code."""

from __future__ import annotations

import shutil

import pytest

from relad import locks
from relad.data.dataset import PackedDataset
from relad.errors import MachineError
from relad.fileio import read_table, write_table
from relad.training import loop
from tests.helpers.fake_study import amend
from tests.helpers.trainings import settings, trainer


@pytest.fixture
def checkpoint(packed, tmp_path):
    one = trainer(PackedDataset(packed), "unet", settings())
    one.step()
    one.save_checkpoint(tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def test_the_same_training_takes_it_up(packed, checkpoint):
    again = trainer(PackedDataset(packed), "unet", settings())
    assert again.load_checkpoint(checkpoint) and again.done == 1


@pytest.mark.parametrize("other", [{"seed": 1}, {"fold": 1}])
def test_another_fold_or_seed_does_not(packed, checkpoint, other):
    assert not trainer(PackedDataset(packed), "unet", settings(), **other).load_checkpoint(
        checkpoint
    )


@pytest.mark.parametrize("option", [{"updates": 13}, {"batch_size": 3}, {"clip_norm": 1.0}])
def test_other_settings_do_not(packed, checkpoint, option):
    assert not trainer(PackedDataset(packed), "unet", settings(**option)).load_checkpoint(
        checkpoint
    )


def test_other_parameters_of_the_method_do_not(packed, checkpoint):
    part = settings()
    part["methods"]["unet"]["params"] = {**part["methods"]["unet"]["params"], "lr": 1e-3}
    assert not trainer(PackedDataset(packed), "unet", part).load_checkpoint(checkpoint)


@pytest.mark.parametrize("what", ["windows", "checksums", "people"])
def test_other_data_do_not(packed, checkpoint, tmp_path, what):
    other = tmp_path / "packed"
    shutil.copytree(packed, other)
    if what == "people":
        table = other / "subjects.tsv"
        rows = read_table(table)
        rows[-1]["subject"] = "another"
        write_table(table, rows, list(rows[0]))
    elif what == "windows":
        amend(other / "dataset.json", windows={"tau": [0.0, 5.0]})
    else:
        amend(other / "dataset.json", sha256={"pet": "another"})
    assert not trainer(PackedDataset(other), "unet", settings()).load_checkpoint(checkpoint)


@pytest.mark.parametrize("edited", ["relad.steps.train", "baselines.unet"])
def test_other_code_does_not(packed, checkpoint, monkeypatch, capsys, edited):
    now = loop.fingerprint
    monkeypatch.setattr(
        loop, "fingerprint", lambda *modules: now(*modules) + "x" * (edited in modules)
    )
    assert not trainer(PackedDataset(packed), "unet", settings()).load_checkpoint(checkpoint)
    assert "of other settings, data or code; training starts anew" in capsys.readouterr().err


def test_one_training_at_a_time_writes_a_model(packed, tmp_path, monkeypatch):
    out = tmp_path / "model"
    out.mkdir()
    for left in (".part-12-checkpoint.pt", ".part-12-model.safetensors"):
        (out / left).write_text("half")
    one = trainer(PackedDataset(packed), "unet", settings(updates=2))
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    with locks.sole_writer(out), pytest.raises(MachineError, match="is being written by another"):
        one.run(out)
    assert one.run(out) == 0
    assert sorted(p.name for p in out.iterdir()) == ["log.csv", "model.safetensors", "train.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
