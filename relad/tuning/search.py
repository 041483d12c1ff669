"""The search of one method's parameters on one fold.

Trial 0 is the method as it is configured, so that no search ends below it. The sampler of every
later one is seeded by (seed, fold, method, number of the trial) and learns from the trials before
it alone. A search is therefore continued by being repeated: what was done is read, not done again.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from relad.compute.devices import reset_peak_memory
from relad.compute.randomness import generator_for
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_object, write_json
from relad.study.fingerprints import fingerprint
from relad.study.paths import TRAINING_LOG
from relad.study.settings import SearchSettings, Training, TrainSettings, plain
from relad.training import checkpoints, validation
from relad.training.logs import DivergedError
from relad.training.loop import Trainer
from relad.training.stopping import STOPPED
from relad.tuning.space import Space

COMPLETE, FAILED = "complete", "failed"


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes
    ----------
    number
        From 0.
    values
        Of the parameters that are searched; of trial 0 those that are known.
    state, reason
        :data:`FAILED` where a loss or the score was not finite, and which one.
    psnr
        The score: PSNR (dB) in the brain, mean over the validation subjects' PET, of the weights
        that the training keeps. None where the trial failed.
    updates
        Done by the training.
    parameters, parameters_total
        Of the network that synthesises, and of all that are trained.
    seconds
        Wall-clock time of updates and validations.
    peak_memory_mb
        As in train.json.
    key
        What the training must agree with to be taken over.
    """

    number: int
    values: dict[str, Any]
    state: str
    reason: str | None
    psnr: float | None
    updates: int
    parameters: int
    parameters_total: int
    seconds: float
    peak_memory_mb: float
    key: str = field(repr=False)

    @property
    def score(self) -> float:
        return -math.inf if self.psnr is None else self.psnr


class Search:
    """A search: what is searched, in which trainings, and where it stands.

    Parameters
    ----------
    data
        Packed training cohort.
    name
        Id of the method.
    settings
        Methods and sections ``training`` and ``tuning``.
    fold
        Held-out fold, of which nothing is read.
    out
        Folder of the search; every trial has one below it.

    Raises
    ------
    ReladError
        Where there are no validation subjects, or the space does not fit the method.
    """

    def __init__(
        self, data: PackedDataset, name: str, settings: SearchSettings, *, fold: int, out: Path
    ):
        self.data, self.name, self.fold, self.out = data, name, fold, out
        self.tuning = settings.tuning
        if not settings.training.validation.subjects:
            raise ReladError(
                "training.validation.subjects is 0, and a search is scored on those alone",
                hint="set some of the training subjects aside",
            )
        _, judged = validation.cut(
            data,
            data.pairs(fold, "train"),
            settings.training.validation.subjects,
            fold=fold,
        )
        if not judged:
            raise ReladError(
                f"no validation subject of fold {fold} has a PET of a tracer that is trained, and "
                "a search is scored on those alone",
                hint="set more of the training subjects aside (training.validation.subjects)",
            )
        entry = settings.methods[name]
        updates = self.tuning.updates or entry.updates or settings.training.updates
        self.options: Training = replace(settings.training, updates=updates)
        entry = replace(entry, updates=None)
        self.space = Space(name, entry, self.tuning.space.get(name, {}))
        self.space.check(inputs=len(entry.inputs), tracers=len(data.tracers))
        self.code = fingerprint("relad.steps.search", entry.class_.partition(":")[0])
        self.trials: list[Trial] = []

    def run(self) -> int:
        """Do all trials, or those that are left; return the exit status."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        for number in range(self.tuning.trials):
            suggested, values = None, self.space.configured()
            if number:
                study.sampler = self.sampler(number)
                suggested = study.ask(self.space.distributions)
                values = self.space.values(suggested.params)
            trial = self.trial(number, values)
            if trial is None:
                return STOPPED
            self.trials.append(trial)
            self.tell(study, trial, suggested)
            print(f"search {self.name}: {_line(trial, self.tuning.trials)}", file=sys.stderr)
        return 0

    def sampler(self, number: int) -> BaseSampler:
        """Optuna's sampler of one trial."""
        random = generator_for("search", self.tuning.seed, self.fold, self.name, number)
        seed = random.initial_seed() % 2**32
        return {"tpe": TPESampler, "random": RandomSampler}[self.tuning.sampler](seed=seed)

    def tell(self, study: optuna.Study, trial: Trial, suggested: optuna.trial.Trial | None) -> None:
        """Let the study learn of a trial; of the configured one where it lies in the space."""
        state = TrialState.COMPLETE if trial.state == COMPLETE else TrialState.FAIL
        if suggested is not None:
            study.tell(suggested, trial.psnr, state=state)
            return
        params = self.space.suggestible(trial.values)
        if params is None:
            print(
                f"search {self.name}: the configured value of a parameter lies outside the space, "
                "or is a default of its network: other trials do not learn from trial 0",
                file=sys.stderr,
            )
            return
        study.add_trial(
            create_trial(
                params=params,
                distributions=self.space.distributions,
                value=trial.psnr,
                state=state,
            )
        )

    def trial(self, number: int, values: dict[str, Any]) -> Trial | None:
        """Train with these values, or read what such a training gave; None where it was stopped."""
        folder = self.out / "trials" / f"{number:03d}"
        entry = self.space.with_values(values) if number else self.space.entry
        settings = TrainSettings(training=self.options, methods={self.name: entry})
        key = checkpoints.fingerprint(
            plain(settings), self.data, self.fold, self.tuning.seed, self.code
        )
        known = folder / "trial.json"
        if known.exists() and (told := read_object(known)).get("key") == key:
            return Trial(**told)
        trainer = Trainer(self.data, self.name, settings, fold=self.fold, seed=self.tuning.seed)
        reset_peak_memory(trainer.device)
        reason = None
        try:
            if trainer.run(folder) == STOPPED:
                return None
        except DivergedError as error:
            reason = error.what
        record = trainer.record()
        psnr = (record["validation"] or {}).get("psnr")
        trial = Trial(
            number=number,
            values=values,
            state=FAILED if reason else COMPLETE,
            reason=reason,
            psnr=None if reason else psnr,
            updates=trainer.done,
            parameters=record["counts"]["parameters_generator"],
            parameters_total=record["counts"]["parameters_total"],
            seconds=round(sum(record["measured"][k] for k in ("seconds", "seconds_validation")), 2),
            peak_memory_mb=record["measured"]["peak_memory_mb"],
            key=key,
        )
        shutil.rmtree(folder, ignore_errors=True)  # a study trains its models itself
        trainer.log.write(folder / TRAINING_LOG)
        write_json(known, asdict(trial))
        return trial

    def best(self) -> Trial:
        """The trial of the highest score, the first of equals.

        Raises
        ------
        ReladError
            Where all failed.
        """
        best = max(self.trials, key=lambda trial: trial.score)
        if best.state == FAILED:
            raise ReladError(
                f"all {len(self.trials)} trials of {self.name!r} failed; the last: "
                f"{self.trials[-1].reason}",
                hint="lower the learning rates in the file that tuning.space names",
            )
        return best

    def found(self) -> dict[str, Any]:
        """Values of the best trial; none where that is the configured one."""
        best = self.best()
        return best.values if best.number else {}


def _line(trial: Trial, trials: int) -> str:
    """One trial in words."""
    values = " ".join(f"{path}={json.dumps(v)}" for path, v in trial.values.items())
    said = trial.reason if trial.state == FAILED else f"PSNR {trial.psnr:.2f} dB"
    return f"trial {trial.number} of {trials}: {said} ({values})"


def table(trials: Sequence[Trial]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of ``trials.csv`` and its columns: a trial each, with a column for every parameter."""
    facts = [name for name in Trial.__dataclass_fields__ if name not in ("values", "key")]
    paths = list(dict.fromkeys(path for trial in trials for path in trial.values))
    rows = [
        {name: getattr(trial, name) for name in facts}
        | {path: json.dumps(value) for path, value in trial.values.items()}
        for trial in trials
    ]
    return rows, [*facts, *paths]
