from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from relad import cli
from relad.compute.devices import choose_device
from relad.data.batches import BatchSampler, Volumes, in_batches
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_table, sha256_of
from relad.methods.diffusion.preconditioning import PowerSpectrum
from relad.methods.synthesis import load_model
from relad.study.paths import REPOSITORY
from relad.study.sampling import Sampling
from relad.training.loop import Trainer
from relad.training.stopping import STOPPED
from tests.helpers.settings import file_of
from tests.helpers.trainings import NETWORK, settings, train, trainer


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def losses(folder):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in read_table(folder / "log.csv")]


@pytest.mark.parametrize("method", ["rela", "template"])
def test_training_writes_the_same_model_twice(packed, tmp_path, method):
    for name in "ab":
        assert train(packed, tmp_path / name, method) == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "log.csv",
        "model.safetensors",
        "train.json",
    ]


@pytest.mark.parametrize(
    ("stop_after", "with_signal"), [(1, signal.SIGTERM), (5, signal.SIGUSR1), (11, signal.SIGINT)]
)
def test_a_stopped_training_continues_to_the_same_bits(
    packed, tmp_path, stop_after, with_signal, monkeypatch
):
    assert train(packed, tmp_path / "whole", "rela") == 0

    step = Trainer.step

    def stopping(self):
        result = step(self)
        if self.done == stop_after:
            os.kill(os.getpid(), with_signal)
        return result

    monkeypatch.setattr(Trainer, "step", stopping)
    assert train(packed, tmp_path / "parts", "rela") == STOPPED
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    monkeypatch.setattr(Trainer, "step", step)
    assert train(packed, tmp_path / "parts", "rela") == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()


def test_a_training_killed_outright_continues_from_its_checkpoint(packed, tmp_path):
    """SIGKILL in the middle of an update: the last stored checkpoint is whole and is used."""
    assert train(packed, tmp_path / "whole", "rela") == 0
    program = (
        "import os, signal, sys\n"
        "from relad import cli\n"
        "from relad.training.loop import Trainer\n"
        "step = Trainer.step\n"
        "def dying(self):\n"
        "    if self.done == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self)\n"
        "Trainer.step = dying\n"
        "cli.main(sys.argv[1:])\n"
    )
    arguments = ["train", str(packed), str(tmp_path / "parts"), "--method", "rela", "--fold", "0"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--settings", file_of(settings())],
        cwd=REPOSITORY,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    state = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert state["done"] == 4
    assert train(packed, tmp_path / "parts", "rela") == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_a_checkpoint_of_other_settings_or_a_broken_one_is_not_used(packed, tmp_path, capsys):
    out = tmp_path / "model"
    one = trainer(PackedDataset(packed), "unet", settings(), fold=0, seed=0)
    one.step()
    one.save_checkpoint(out / "checkpoint.pt")
    other = trainer(PackedDataset(packed), "unet", settings(ema_decay=0.5), fold=0, seed=0)
    assert not other.load_checkpoint(out / "checkpoint.pt")
    assert "other settings" in capsys.readouterr().err
    (out / "checkpoint.pt").write_bytes(b"PK damaged")
    assert not other.load_checkpoint(out / "checkpoint.pt")
    assert "not readable" in capsys.readouterr().err


def test_training_never_reads_the_held_out_fold(packed, tmp_path):
    data = PackedDataset(packed)
    one = trainer(data, "unet", settings(), fold=1, seed=0)
    seen = {subject for update in range(200) for subject, _ in one.batches(update)[0]}
    assert seen == {row["index"] for row in data.subjects if row["fold"] != 1}


def test_every_method_sees_the_same_batches(packed):
    data = PackedDataset(packed)
    a, b = (trainer(data, name, settings(), fold=0, seed=0) for name in ("unet", "rela"))
    assert [a.batches(i) for i in range(20)] == [b.batches(i) for i in range(20)]


def test_batches_are_epochs_of_all_pairs_and_depend_on_the_seed():
    pairs = [(i, 0) for i in range(7)]
    sampler = BatchSampler(pairs, 2, fold=0, seed=0)
    drawn = [pair for update in range(7) for pair in sampler(update)[0]]
    assert sorted(drawn[:7]) == sorted(drawn[7:]) == pairs
    assert drawn[:7] != drawn[7:]
    other = BatchSampler(pairs, 2, fold=0, seed=1)
    assert [sampler(i) for i in range(7)] != [other(i) for i in range(7)]


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(15, 4, [3, 4, 4, 4]), (5, 4, [2, 3]), (1, 4, [1]), (0, 4, [])]
)
def test_batches_hold_everything_once_and_are_alike(count, size, lengths):
    """No batch of one where it can be avoided."""
    parts = list(in_batches(list(range(count)), size))
    assert [len(part) for part in parts] == lengths
    assert [item for part in parts for item in part] == list(range(count))


def test_template_is_the_mean_of_the_training_fold(packed, tmp_path):
    assert train(packed, tmp_path, "template") == 0
    data = PackedDataset(packed)
    method, space, info = load_model(tmp_path, torch.device("cpu"))
    channels = [data.modalities.index(name) for name in info["entry"]["inputs"]]
    rows = [row["index"] for row in data.subjects if row["fold"] != 0]
    test = next(row["index"] for row in data.subjects if row["fold"] == 0)
    inside = torch.from_numpy(data.mask[rows].all(0))
    for k in range(len(data.tracers)):
        given = Volumes(data, channels, torch.device("cpu")).given([(test, k)], space)
        y = method.synthesize(given, sampling=Sampling("ddim", 10), random=[torch.Generator()])
        pet = space.to_pet(y, given.tracer, given.mask)[0, 0]
        expected = torch.from_numpy(data.pet[rows, k].mean(0))
        torch.testing.assert_close(pet[inside], expected[inside], atol=1e-5, rtol=0)


def test_an_entry_may_have_updates_of_its_own(packed, tmp_path):
    part = settings()
    part["methods"]["unet"]["updates"] = 3
    assert train(packed, tmp_path, "unet", part) == 0
    assert json.loads((tmp_path / "train.json").read_text())["counts"]["updates"] == 3


def test_train_json_states_counts_and_provenance(packed, tmp_path):
    assert train(packed, tmp_path, "unet") == 0
    info = json.loads((tmp_path / "train.json").read_text())
    assert info["counts"]["updates"] == 12
    assert info["counts"]["pairs"] == 12
    assert info["counts"]["parameters_generator"] > 1000
    assert info["measured"]["seconds"] > 0
    assert info["measured"]["peak_memory_mb"] > 0
    assert 0 < info["measured"]["loader_share"] < 1
    assert info["validation"] is None
    assert info["provenance"]["versions"]["torch"]
    assert info["weights_sha256"] == sha256_of(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "cyclegan"}, "no method 'cyclegan'"),
        ({"fold": "9"}, "fold 9"),
    ],
)
def test_bad_arguments_are_one_line(packed, tmp_path, capsys, change, message):
    given = {"method": "unet", "fold": "0", **change}
    named = ["--method", given["method"], "--fold", given["fold"]]
    text = file_of(settings())
    code = cli.main(["train", str(packed), str(tmp_path), *named, "--settings", text])
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_diverging_loss_stops_the_training(packed, tmp_path, capsys):
    part = settings()
    part["methods"]["unet"]["params"] = {"network": NETWORK, "lr": 1e30}
    assert train(packed, tmp_path, "unet", part) == 2
    assert "learning rate" in capsys.readouterr().err
    assert not (tmp_path / "model.safetensors").exists()


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ReladError, match="cuda"):
        choose_device("cuda")


def test_the_spectrum_is_of_all_training_pairs_and_goes_into_the_model(packed, tmp_path):
    part = settings()
    params = {"prediction": "preconditioned", "weighting": "unit", "network": NETWORK}
    part["methods"]["ddpm"]["params"] = params
    trained = trainer(PackedDataset(packed), "ddpm", part)
    expected = PowerSpectrum()
    pairs = trained.data.pairs(0, "train")
    expected.measure(trained.volumes.batch([pair], trained.scaling) for pair in pairs)
    assert not torch.equal(expected.power, PowerSpectrum().power)
    assert train(packed, tmp_path / "model", "ddpm", part) == 0
    method, _, _ = load_model(tmp_path / "model", torch.device("cpu"))
    torch.testing.assert_close(method.generator.spectrum.power, expected.power)
