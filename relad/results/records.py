"""What trainings and syntheses wrote about themselves: ``train.json`` and ``synthesis.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from relad.errors import DataError, ReladError
from relad.fileio import read_json
from relad.status import Kind
from relad.study.paths import TRAINING_RECORD
from relad.study.settings import ComparedMethod, typed


@dataclass(frozen=True)
class Training:
    """What of ``train.json`` tables and figures read.

    Attributes
    ----------
    folder
        Of ``relad train``.
    method, fold, seed
        What was trained.
    kind
        Of the data it was trained on.
    subjects
        ``train``, ``validation`` and ``test`` -> people.
    data
        Fingerprint of the packed cohort.
    code
        Hashes of the code: ``training`` is that of the loop.
    single_pass
        Whether the method goes over the data once, however many updates the others do.
    counts, measured
        Parameters and updates; times and memory, which vary from run to run.
    """

    folder: Path
    method: str
    fold: int
    seed: int
    kind: Kind
    subjects: dict[str, list[str]]
    data: str
    code: dict[str, str]
    single_pass: bool
    counts: dict[str, Any]
    measured: dict[str, Any]


@dataclass(frozen=True)
class Synthesis:
    """What of ``synthesis.json`` the steps after it read; None where it does not say.

    Attributes
    ----------
    folder
        Of ``relad synthesize``.
    cohort, kind
        Whose PET was synthesised, and what it is: simulated too where the method learnt from that.
    method, sampler, fold, seed
        What it was synthesised with.
    samples
        Images whose mean the synthetic PET is; with more than one, they lie beside it.
    evaluations
        Network evaluations per volume.
    seconds_per_volume, peak_memory_mb, load_per_core, device
        As measured.
    data
        Fingerprint of the packed cohort.
    left_out
        People who were not synthesised, since the model knows them, and how they were recognised.
    untrained
        Tracers that no subject it was trained on had, and that it therefore did not synthesise.
    """

    folder: Path
    cohort: str
    method: str
    sampler: str
    fold: int
    seed: int
    kind: Kind
    samples: int
    evaluations: int | None = None
    seconds_per_volume: float | None = None
    peak_memory_mb: float | None = None
    load_per_core: float | None = None
    device: str | None = None
    data: str | None = None
    untrained: Sequence[str] = ()
    left_out: dict[str, str] = field(default_factory=dict)


#: What of ``measured`` tables read, None where it was not.
_MEASURED: dict[str, Any] = {
    **dict.fromkeys(("seconds", "peak_memory_mb", "load_per_core"), float | None),
    "device": str | None,
}


def read_training(folder: str | Path) -> Training:
    """Read ``train.json`` of a folder of ``relad train``; refuses one that is not whole."""
    needed = ("method", "fold", "seed", "kind", "subjects.train", "subjects.validation")
    needed += (
        "subjects.test",
        "data",
        "code.training",
        "single_pass",
        "counts.updates",
        "measured",
    )
    file = Path(folder) / TRAINING_RECORD
    training = Training(Path(folder), **_read(file, Training, needed, "train"))
    try:
        for key, kind in _MEASURED.items():
            typed(kind, training.measured.get(key), f"measured.{key}")
    except ReladError as error:
        raise DataError(error.what, file=file, hint="run `relad train` again") from None
    return training


def read_synthesis(folder: str | Path) -> Synthesis:
    """Read ``synthesis.json`` of a folder of ``relad synthesize``; refuses one not whole."""
    needed = ("cohort", "method", "sampler", "fold", "seed", "kind", "samples")
    file = Path(folder) / "synthesis.json"
    return Synthesis(Path(folder), **_read(file, Synthesis, needed, "synthesize"))


def _read(file: Path, record: type, needed: Sequence[str], step: str) -> dict[str, Any]:
    """Read those keys of a file that a record has; refuses one that lacks what is needed."""

    def at(path: str) -> Any:
        found = told
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return found

    told, hint = read_json(file), f"run `relad {step}` again"
    lacking = [path for path in needed if at(path) is None]
    if lacking:
        raise DataError(f"lacks {', '.join(lacking)}", file=file, hint=hint)
    types = get_type_hints(record)
    there = [each.name for each in fields(record) if each.name in told]
    try:
        found = {name: typed(types[name], told[name], name) for name in there}
    except ReladError as error:
        raise DataError(error.what, file=file, hint=hint) from None
    try:
        found["kind"] = Kind(told["kind"])
    except ValueError as error:
        raise DataError(f"kind: {error}", file=file, hint=hint) from None
    return found


def require_known(records: Iterable[Training | Synthesis], methods: Iterable[str]) -> None:
    """Refuse records of methods that the study does not have."""
    known = set(methods)
    for record in records:
        if record.method not in known:
            raise ReladError(
                f"method {record.method!r} is not in the settings",
                file=record.folder,
                hint="give the study's own --settings",
            )


# --- whether models can be compared -------------------------------------------------------------


def require_alike(trainings: Sequence[Training]) -> None:
    """Refuse to compare models whose trainings differ in more than their method.

    Raises
    ------
    ReladError
        Naming two models: trained on other packed data, or of one fold and on other people; or,
        methods of a single pass aside, with other numbers of updates or other batches.
    """
    of_fold: dict[int, Training] = {}
    counted: Training | None = None
    for training in trainings:
        other = of_fold.setdefault(training.fold, training)
        for part in ("train", "validation", "test"):
            odd = sorted(set(training.subjects[part]) ^ set(other.subjects[part]))
            if odd:
                _refuse(training, other, f"on different people ({part}: {', '.join(odd[:3])})")
        if training.data != trainings[0].data:
            _refuse(training, trainings[0], "on different packed data")
        if training.single_pass:
            continue
        counted = counted or training
        for count, said in (
            ("updates", "for {} and {} updates"),
            ("batch_size", "on {} and {} at a time"),
        ):
            numbers = [t.counts.get(count) for t in (training, counted)]
            if numbers[0] != numbers[1]:
                _refuse(training, counted, said.format(*numbers))


def _refuse(training: Training, other: Training, what: str) -> None:
    raise ReladError(
        f"{training.folder} and {other.folder} were trained {what}",
        hint="train both alike to compare them",
    )


def code_note(trainings: Iterable[Training], methods: Mapping[str, ComparedMethod]) -> str:
    """Sentences on models that different versions of the code trained; empty if one did.

    Each method is named once: with those of its version of the training code, or, where its own
    models have several, after these.
    """
    loops: dict[str, set[str]] = {}
    own: dict[str, set[str]] = {}
    for training in trainings:
        label = methods[training.method].label
        loops.setdefault(label, set()).add(training.code["training"])
        own.setdefault(label, set()).add(training.code.get("method", ""))
    changed = [label for label, codes in own.items() if len(codes) > 1]
    if len(set().union(*loops.values())) < 2:
        differ = "the models differ in the version of its own code."
        return f"Of {', '.join(changed)} {differ}" if changed else ""
    of_version: dict[str, list[str]] = {}
    several = []
    for label, versions in loops.items():
        alike = several if len(versions) > 1 else of_version.setdefault(*versions, [])
        alike.append(f"{label}*" if label in changed else label)
    told = [", ".join(labels) for labels in of_version.values()]
    if several:
        told.append(f"more than one each: {', '.join(several)}")
    if changed:
        told.append("*: also by different versions of the method's own code")
    return (
        f"The models were trained by different versions of the training code ({'; '.join(told)})."
    )


# --- costs --------------------------------------------------------------------------------------


#: Times under loads within this factor, or where no core is overloaded, are compared.
_ALIKE = 1.25


@dataclass(frozen=True)
class Cost:
    """Cost of one method, averaged over its folds and seeds; of counts the largest.

    Times and memory are measured and vary from run to run; None where a file does not say.

    Attributes
    ----------
    parameters
        Of the network that synthesises.
    parameters_total
        Of all its networks, discriminators included.
    updates
        Training updates.
    train_seconds
        Wall-clock time of one training.
    train_memory_mb
        Peak memory of training.
    sampler
        How its images were made, as in result rows.
    evaluations
        Network evaluations per synthesised volume.
    seconds_per_volume
        Wall-clock time of one synthesised volume.
    synthesis_memory_mb
        Peak memory of synthesis.
    load
        Greatest load of the machine (processes per core) while it was measured: above 1, times
        are longer than they need be.
    device
        Where it was trained and, if elsewhere, where it was run.
    runs
        Number of trained models behind the averages.
    data
        Kinds of data it was trained on.
    """

    parameters: int | None
    parameters_total: int | None
    updates: int | None
    train_seconds: float | None
    train_memory_mb: float | None
    sampler: str | None
    evaluations: int | None
    seconds_per_volume: float | None
    synthesis_memory_mb: float | None
    load: float | None
    device: str
    runs: int
    data: str


def cost_of(trainings: Sequence[Training], syntheses: Sequence[Synthesis]) -> Cost:
    """Cost of one method.

    Parameters
    ----------
    trainings
        Of the method or of the one whose models it samples, at least one.
    syntheses
        Of the method for the training cohort, so that all methods are timed on the same volumes.
    """
    counts = [training.counts for training in trainings]
    measured = [training.measured for training in trainings]
    made = [vars(synthesis) for synthesis in syntheses]
    method = syntheses[0].method if syntheses else trainings[0].method
    devices = [record.get("device") for record in [*measured, *made]]
    loads = [r["load_per_core"] for r in (*measured, *made) if r.get("load_per_core") is not None]
    return Cost(
        parameters=_count(counts, "parameters_generator", method),
        parameters_total=_count(counts, "parameters_total", method),
        updates=_count(counts, "updates", method),
        train_seconds=_mean(measured, "seconds"),
        train_memory_mb=_mean(measured, "peak_memory_mb"),
        sampler=", ".join(dict.fromkeys(s.sampler for s in syntheses)) or None,
        evaluations=_count(made, "evaluations", method),
        seconds_per_volume=_mean(made, "seconds_per_volume"),
        synthesis_memory_mb=_mean(made, "peak_memory_mb"),
        load=max(loads, default=None),
        device=", ".join(dict.fromkeys(d for d in devices if d)) or "unknown",
        runs=len(trainings),
        data=", ".join(sorted({training.kind for training in trainings})),
    )


def loads_of(costs: Iterable[Cost]) -> str:
    """Say under what load costs were measured, and where that forbids to compare times."""
    loads = [cost.load for cost in costs]
    if not loads or None in loads:
        return "load of the machine unknown"
    low, high = min(loads), max(loads)
    told = f"load {low:g} to {high:g} processes per core"
    return told + (", too unlike to compare times" if high > max(1.0, _ALIKE * low) else "")


def _count(records: list[dict[str, Any]], key: str, method: str) -> int | None:
    """Return the largest of a count: updates of a closed-form method follow the fold's size."""
    values = [record[key] for record in records if record.get(key) is not None]
    if not all(isinstance(value, int) for value in values):
        raise DataError(f"{method}: {key} is not a whole number: {values}")
    return max(values, default=None)


def _mean(records: list[dict[str, Any]], key: str) -> float | None:
    values = [float(record[key]) for record in records if record.get(key) is not None]
    return float(np.mean(values)) if values else None
