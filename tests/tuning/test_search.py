"""A search repeats and continues to the bit, has one effort for all, and reads no test subject."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relad.compute.devices import peak_memory_mb
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, read_table, write_table
from relad.study.settings import SearchSettings, typed
from relad.training import validation
from relad.training.logs import DivergedError
from relad.training.loop import Trainer
from relad.training.stopping import STOPPED
from relad.tuning.search import COMPLETE, FAILED, Search, Trial, table
from tests.helpers import trainings
from tests.helpers.searches import LR, search, settings

MEASURED = {"seconds": 0.0, "peak_memory_mb": 0.0}


def facts(done: Search) -> list[Trial]:
    """Trials without what differs from run to run."""
    return [replace(trial, **MEASURED) for trial in done.trials]


@pytest.fixture(scope="module")
def done(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    made = search(packed, tmp_path_factory.mktemp("search"))
    assert made.run() == 0
    return made


def test_every_trial_is_a_training_of_its_parameters_and_one_length(done: Search) -> None:
    assert [trial.number for trial in done.trials] == [0, 1, 2]
    assert {(trial.state, trial.updates) for trial in done.trials} == {(COMPLETE, 3)}
    assert len({trial.values["lr"] for trial in done.trials}) == 3
    assert len({trial.psnr for trial in done.trials}) == 3
    for trial in done.trials:
        assert LR["low"] <= trial.values["lr"] <= LR["high"]
        assert trial.seconds > 0 and trial.peak_memory_mb > 0
    size = {tuple(t.values["network.channels"]): t.parameters for t in done.trials}
    assert size[4, 4] < size[8, 16]


def test_the_first_trial_is_the_training_of_the_configured_method(
    done: Search, tmp_path: Path
) -> None:
    part = settings()
    part["training"]["updates"] = 3
    assert trainings.trainer(done.data, "unet", part, seed=2).run(tmp_path) == 0
    record = read_json(tmp_path / "train.json")
    assert done.trials[0].psnr == record["validation"]["psnr"]
    assert done.trials[0].values == {"lr": 5e-4, "network.channels": [8, 16]}


def test_other_methods_get_as_many_trials_of_other_values(
    packed: Path, done: Search, tmp_path: Path
) -> None:
    other = search(packed, tmp_path, "ddpm")
    assert other.run() == 0
    assert len(other.trials) == len(done.trials)
    assert {t.updates for t in other.trials} == {t.updates for t in done.trials}
    values = [{t.values["lr"] for t in each.trials[1:]} for each in (other, done)]
    assert not values[0] & values[1]


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_a_killed_search_continues_to_the_same_trials(
    packed: Path, done: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, updates = Trainer.advance, [0]

    def killed(trainer: Trainer) -> Any:
        updates[0] += 1
        if updates[0] == 6:  # before the last update of the second trial
            raise KilledError
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", killed)
    with pytest.raises(KilledError):
        search(packed, tmp_path).run()
    again = search(packed, tmp_path)
    assert again.run() == 0
    assert facts(again) == facts(done)
    assert updates[0] == 6 + 1 + 3  # what was trained already was not trained again
    more = search(packed, tmp_path, trials=4)
    assert more.run() == 0
    assert facts(more)[:3] == facts(done) and len(more.trials) == 4
    assert updates[0] == 6 + 1 + 3 + 3


def test_a_search_that_is_asked_to_stop_says_so_and_continues(
    packed: Path, done: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda trainer, out: STOPPED)
        stopped = search(packed, tmp_path)
        assert stopped.run() == STOPPED and stopped.trials == []
    again = search(packed, tmp_path)
    assert again.run() == 0 and facts(again) == facts(done)


def test_trials_of_other_settings_are_not_taken_over(packed: Path, tmp_path: Path) -> None:
    first = search(packed, tmp_path, trials=1)
    first.run()
    longer = search(packed, tmp_path, trials=1, updates=4)
    longer.run()
    assert longer.trials[0].updates == 4


def test_nothing_is_read_of_test_subjects(packed: Path, done: Search, tmp_path: Path) -> None:
    poisoned = tmp_path / "packed"
    shutil.copytree(packed, poisoned)
    test = {i for i, _ in done.data.pairs(0, "test")}
    assert test
    for name in ("mri", "pet", "mask"):
        volumes = np.load(poisoned / f"{name}.npy")
        volumes[sorted(test)] = name == "mask" or np.nan
        np.save(poisoned / f"{name}.npy", volumes)
    other = search(poisoned, tmp_path / "out")
    assert other.run() == 0
    assert facts(other) == facts(done)


def test_a_trial_that_diverges_counts_and_is_told(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    advance = Trainer.advance

    def diverges(trainer: Trainer) -> Any:
        if trainer.entry.params.get("lr") is not None and trainer.done == 1:
            raise DivergedError("loss 'l1' is nan at update 1")
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", diverges)
    tried = search(packed, tmp_path)
    assert tried.run() == 0
    assert [trial.state for trial in tried.trials] == [COMPLETE, FAILED, FAILED]
    assert [trial.updates for trial in tried.trials] == [3, 1, 1]
    assert tried.best().number == 0 and tried.found() == {}
    assert "trial 1 of 3: loss 'l1' is nan at update 1 (lr=" in capsys.readouterr().err
    rows, columns = table(tried.trials)
    assert [row["reason"] for row in rows] == [None, *["loss 'l1' is nan at update 1"] * 2]
    assert columns[-2:] == ["lr", "network.channels"] and rows[0]["network.channels"] == "[8, 16]"
    # It is not trained again: it would fail again.
    monkeypatch.setattr(Trainer, "run", None)
    assert search(packed, tmp_path).run() == 0


def test_a_score_that_is_not_finite_is_no_score(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relad.training.validation.mean_psnr", lambda *args: -np.inf)
    tried = search(packed, tmp_path, trials=2)
    assert tried.run() == 0
    with pytest.raises(
        ReladError, match=r"all 2 trials of 'unet' failed; the last: .*all its images"
    ):
        tried.best()


def test_the_best_trial_is_the_first_of_the_highest(done: Search, monkeypatch: Any) -> None:
    trials = [replace(done.trials[0], number=n, psnr=p) for n, p in enumerate((20, 22, 22, 21))]
    trials.append(replace(trials[0], number=4, psnr=None, state=FAILED))
    monkeypatch.setattr(done, "trials", trials)
    assert done.best().number == 1
    assert done.found() == trials[1].values


@pytest.mark.parametrize(("sampler", "learns"), [("tpe", True), ("random", False)])
def test_the_search_learns_from_its_trials(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, learns: bool
) -> None:
    """The score is best at lr = 0.01, from which the space is 0.83 decades away in the mean."""

    def away(trial: Trial) -> float:
        return abs(float(np.log10(trial.values["lr"])) + 2)

    def trained(self: Search, number: int, values: dict[str, Any]) -> Trial:
        trial = Trial(number, values, COMPLETE, None, 0.0, 3, 1, 1, 1.0, 1.0, "")
        return replace(trial, psnr=-away(trial))

    monkeypatch.setattr(Search, "trial", trained)
    tried = search(packed, tmp_path, trials=40, sampler=sampler)
    tried.run()
    assert (np.mean([away(trial) for trial in tried.trials[-20:]]) < 0.6) == learns


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells")
def test_memory_is_each_trials_own(packed: Path, tmp_path: Path) -> None:
    np.ones(2**26)  # 512 MB, that nobody needs any more
    before = peak_memory_mb(torch.device("cpu"))
    tried = search(packed, tmp_path, trials=1)
    tried.run()
    assert tried.trials[0].peak_memory_mb < before - 400


def test_a_trial_that_is_no_trial_is_named(packed: Path, tmp_path: Path) -> None:
    known = tmp_path / "trials" / "000" / "trial.json"
    known.parent.mkdir(parents=True)
    known.write_text("[]")
    with pytest.raises(ReladError, match=r"trial\.json: not a JSON object"):
        search(packed, tmp_path, trials=1).run()


def test_where_nobody_can_be_judged_nothing_is_searched(packed: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "packed"
    shutil.copytree(packed, lonely)
    data = PackedDataset(packed)
    _, judged = validation.cut(data, data.pairs(0, "train"), 1, fold=0)
    (one,) = data.names(judged)
    rows = read_table(lonely / "subjects.tsv")
    for row in rows:
        row["tracers"] = "tspo" if row["subject"] == one else "tau"
    write_table(lonely / "subjects.tsv", rows, list(rows[0]))
    with pytest.raises(ReladError, match="no validation subject of fold 0 has a PET of a tracer"):
        search(lonely, tmp_path)


def test_without_validation_subjects_there_is_no_score(packed: Path, tmp_path: Path) -> None:
    part = settings()
    part["training"]["validation"]["subjects"] = 0
    with pytest.raises(ReladError, match=r"training\.validation\.subjects is 0, and a search is"):
        Search(PackedDataset(packed), "unet", typed(SearchSettings, part), fold=0, out=tmp_path)
