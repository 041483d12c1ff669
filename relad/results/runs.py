"""The runs behind tables and figures: what each wrote about itself, from packing to evaluation.

Found from the records alone (:mod:`relad.results.origin`), never from a configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad.errors import ReladError
from relad.fileio import content_of, read_object
from relad.results.hashed import Made, found
from relad.results.origin import Origin
from relad.results.records import read_synthesis, read_training
from relad.status import Kind
from relad.study import paths
from relad.study.catalogue import CEILING


@dataclass(frozen=True)
class Evaluation:
    """What made one table of metrics, by the record beside it.

    Attributes
    ----------
    metrics
        The table.
    told
        All of its record.
    synthesized, packed
        ``synthesis.json`` of the folder that was evaluated, None of a table of `relad ceiling`, and
        ``dataset.json`` of the cohort.
    images
        Name in that folder -> hash of every synthetic image that was compared.
    """

    metrics: Path
    told: dict[str, Any]
    synthesized: Made | None
    packed: Made
    images: dict[str, str]

    @property
    def step(self) -> str:
        return CEILING if self.synthesized is None else "evaluate"


def read_evaluation(metrics: Path) -> Evaluation:
    """Read the record of a table of metrics.

    Raises
    ------
    ReladError
        Where there is none, or it does not say what was evaluated.
    """
    file = metrics.with_suffix(".json")
    told = read_object(file)
    with content_of(file, "record of `relad evaluate`", hint="run `relad evaluate` again"):
        made_of = told["made_of"]
        (packed,) = found(made_of["packed"], file.parent)
        if told["provenance"].get("step") == CEILING:
            return Evaluation(metrics, told, None, packed, {})
        (synthesized,) = found(made_of["synthesized"], file.parent)
        return Evaluation(metrics, told, synthesized, packed, dict(made_of["images"]))


def is_outside(file: Path, crate: Path | None) -> bool:
    """Whether somebody reads in a crate, and a file is not of it, whatever lies there."""
    return crate is not None and not file.resolve().is_relative_to(crate)


def left_behind(dataset: Path, crate: Path | None = None) -> ReladError | None:
    """What is wrong where a crate has not more than ``dataset.json`` of a packed cohort; else None.

    ``crate``: where somebody reads in one; by default where the file itself lies in one.
    """
    folder = dataset.resolve().parent
    if is_outside(dataset, crate):
        told = "was packed outside of the study's results, of which this is a crate"
    elif (folder.parents[1] / paths.CRATE).is_file() and not (folder / "subjects.tsv").is_file():
        told = "is all that a crate holds of a packed cohort"
    else:
        return None
    hint = "this needs the study's own results, of which the crate was made"
    return ReladError(told, file=dataset, hint=hint)


@dataclass(frozen=True)
class Run:
    """One run of a step: the file in which it told of itself, and what that says."""

    step: str
    file: Path
    told: dict[str, Any]

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.told["provenance"]


#: Step -> what refuses a record of it that is not whole.
_READ = {"train": read_training, "synthesize": read_synthesis}


def runs_behind(origins: Iterable[Origin]) -> list[Run]:
    """Every run behind some tables and figures, each once, in the order of the study.

    Raises
    ------
    ReladError
        Where the record of one is no longer there, or is none.
    """
    runs: dict[Path, Run] = {}

    def add(step: str, file: Path) -> None:
        if file not in runs:
            told = read_object(file, needs=("provenance",))
            with content_of(file, f"record of `relad {step}`", hint=f"run `relad {step}` again"):
                provenance = told["provenance"]
                _ = provenance["code"], {**provenance["versions"]}, {**provenance["settings"]}
                if step == "pack":
                    _ = told["cohort"], told["role"], Kind(told["kind"]), [*told["tracers"]]
            if step in _READ:
                _READ[step](file.parent)
            runs[file] = Run(step, file, told)

    for origin in origins:
        for made in origin.files["metrics"]:
            evaluation = read_evaluation(made.path)
            add("pack", evaluation.packed.path)
            if evaluation.synthesized is not None:
                add("synthesize", evaluation.synthesized.path)
            add(evaluation.step, made.path.with_suffix(".json"))
        for part, step in (("packed", "pack"), ("models", "train"), ("synthesized", "synthesize")):
            for made in origin.files[part]:
                add(step, made.path)
        add(f"{origin.result.kind}s", origin.file)
    order = ("pack", "train", "synthesize", "evaluate", CEILING, "tables", "figures")
    return sorted(runs.values(), key=lambda run: order.index(run.step))


def kinds_told(runs: Iterable[Run]) -> Iterator[tuple[str, Kind]]:
    """Yield the cohort and the kind of everything that was packed or synthesised."""
    for run in runs:
        if run.step in ("pack", "synthesize"):
            yield run.told["cohort"], Kind(run.told["kind"])


def kinds_of(runs: Iterable[Run]) -> dict[str, Kind]:
    """Cohort -> kind of what is shown of it, of its scans and of the models applied to them."""
    found: dict[str, list[Kind]] = {}
    for cohort, kind in kinds_told(runs):  # what was packed comes first
        found.setdefault(cohort, []).append(kind)
    return {c: Kind.of_results(kinds[0], Kind.of_parts(kinds)) for c, kinds in found.items()}


@dataclass(frozen=True)
class Version:
    """Runs of one step that one version of the code made, with the same packages."""

    step: str
    runs: int
    code: str
    versions: Mapping[str, str]
    platform: str


def versions_of(runs: Iterable[Run]) -> list[Version]:
    """Versions of code and packages, of each step, with the number of runs."""
    counted: dict[str, list[Any]] = {}
    for run in runs:
        facts = {k: run.provenance.get(k) for k in ("code", "versions", "platform")}
        counted.setdefault(json.dumps([run.step, facts]), [run.step, facts, 0])[2] += 1
    return [
        Version(step, count, facts["code"], facts["versions"], facts["platform"] or "")
        for step, facts, count in counted.values()
    ]


def flattened(settings: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting below a section as (``grid.voxel_mm``, ``4.0``)."""
    if isinstance(settings, Mapping) and settings:
        for key, value in settings.items():
            yield from flattened(value, f"{place}.{key}".lstrip("."))
    else:
        yield place, settings if isinstance(settings, str) else json.dumps(settings)


def settings_of(runs: Iterable[Run]) -> dict[str, list[tuple[str, str]]]:
    """Step -> its settings, flattened; where runs differ in one, its values with their numbers.

    Methods' own sections are told by method, since every training sees its own alone.
    """
    told: dict[str, dict[str, dict[str, int]]] = {}
    for run in runs:
        settings = {k: v for k, v in run.provenance["settings"].items() if k != "model"}
        of_step = told.setdefault(run.step, {})
        for key, value in flattened(settings):
            values = of_step.setdefault(key, {})
            values[value] = values.get(value, 0) + 1
    return {
        step: [
            (
                key,
                next(iter(values))
                if len(values) == 1
                else "; ".join(f"{value} ({n} runs)" for value, n in values.items()),
            )
            for key, values in settings.items()
        ]
        for step, settings in told.items()
    }
