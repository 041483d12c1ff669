"""Whether anybody was tested by a model that had seen them, as the records of the runs tell it.

`relad synthesize` has refused it already; a paper says so of the very runs that it reports, so that
it is looked up in these once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relad.data.overlap import listed, seen_by
from relad.errors import ReladError
from relad.fileio import read_table
from relad.results.runs import Run


@dataclass
class Elsewhere:
    """A cohort that no model was trained on: people tested, with a hash of their MRI, left out."""

    cohort: str
    tested: set[str] = field(default_factory=set)
    hashed: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Separation:
    """What was compared, and found apart.

    Attributes
    ----------
    trainings
        Trainings whose people for training, validation and testing were compared.
    syntheses
        Syntheses in the cohort that was trained on, whose people were compared with those of their
        model.
    elsewhere
        The other cohorts.
    """

    trainings: int
    syntheses: int
    elsewhere: list[Elsewhere]


def separation(runs: Sequence[Run], trained_as: Mapping[str, str]) -> Separation:
    """Compare the people of every synthesis with those of its model.

    Parameters
    ----------
    runs
        Of packing, training and synthesis.
    trained_as
        Method -> the one whose models it samples.

    Raises
    ------
    ReladError
        Where somebody was tested by a model that was trained, or chosen, with them.
    """
    packed = {run.told["cohort"]: run for run in runs if run.step == "pack"}
    models: dict[tuple[str, int, int], Run] = {}
    for run in (run for run in runs if run.step == "train"):
        models[run.told["method"], run.told["fold"], run.told["seed"]] = run
        _require_apart(run, _seen(run), run.told["subjects"]["test"])
    syntheses, elsewhere = 0, {}
    for run in (run for run in runs if run.step == "synthesize"):
        told = run.told
        method = trained_as.get(told["method"], told["method"])
        model = models.get((method, told["fold"], told["seed"]))
        home = packed.get(told["cohort"])
        if model is None or home is None:
            continue
        left_out = set(told.get("left_out", {}))
        tested = set(told["subjects"]) - left_out
        if home.told["role"] == "train":
            syntheses += 1
            _require_apart(run, _seen(model), tested)
            continue
        table = read_table(home.file.with_name("subjects.tsv"), needs=("subject",))
        rows = [row for row in table if row["subject"] in tested]
        # Ids of another cohort may be alike by chance, which the study says and no record.
        _require_apart(run, set(seen_by(model.told, rows, ids=False)), tested)
        of = elsewhere.setdefault(told["cohort"], Elsewhere(told["cohort"]))
        of.tested |= tested
        if model.told.get("mri_sha256"):
            of.hashed |= {row["subject"] for row in rows if row.get("mri_sha256")}
        of.left_out |= left_out
    return Separation(len(models), syntheses, list(elsewhere.values()))


def _seen(model: Run) -> set[str]:
    """People that a model was trained with, or its weights chosen with."""
    return {n for part in ("train", "validation") for n in model.told["subjects"][part]}


def _require_apart(run: Run, seen: set[str], tested: Sequence[str] | set[str]) -> None:
    both = sorted(seen & set(tested))
    if both:
        raise ReladError(
            f"{len(both)} of its people were tested by a model that had seen them: {listed(both)}",
            file=run.file,
            hint="no paper can be written of it: pack, train and synthesize again",
        )
