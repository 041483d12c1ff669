"""The explanation of a cell in words, from its value down to the raw scans."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from relad.results.explain.ancestry import Ran, scans_of
from relad.results.explain.cell import (
    NAMING,
    Cell,
    SubjectValue,
    fitted_on,
    same,
    subject_values,
    summary_of,
)
from relad.results.intervals import ENDS
from relad.results.metrics import METRICS
from relad.study.paths import TRAINING_RECORD


def explanation(cell: Cell, rows: pd.DataFrame, runs: Sequence[Ran]) -> Iterator[str]:
    """Yield the lines that explain a cell: what it is, its subjects and rows, runs, and scans.

    Parameters
    ----------
    cell
        Of a table.
    rows, runs
        Its metric rows and the runs that these come from.
    """
    yield from _head(cell)
    yield from _values(cell, subject_values(rows))
    yield from _runs(cell, runs)
    yield from _scans(rows, runs)


def _head(cell: Cell) -> Iterator[str]:
    result = cell.origin.result
    words = {k: v for k, v in cell.row.items() if v and k in NAMING}
    yield f"{cell.origin.product}, row {cell.number}, column {cell.column}: {cell.text or 'empty'}"
    yield ", ".join(f"{key} {value}" for key, value in words.items())
    told = METRICS[cell.metric].label if cell.metric in METRICS else cell.column
    yield f"{told} of the table {result.name} ({result.title}), made by {result.function}"
    if warning := cell.origin.shown["warning"]:
        yield warning


def _values(cell: Cell, values: Sequence[SubjectValue]) -> Iterator[str]:
    yield ""
    if not values:
        why = "the table is made of what its runs wrote about themselves"
        if "metrics" in cell.origin.result.needs:
            why = "nobody has any of what the row names"
        yield f"Metric rows: none, {why}"
        return
    subjects = {value.subject for value in values}
    lines = sum(len(of) for value in values for of in value.places.values())
    yield f"Subjects: {len(subjects)}, of {lines} metric rows (file:line)"
    several = len({(v.method, v.metric) for v in values}) > 1
    for value in values:
        places = " ".join(f"{f}:{','.join(map(str, ls))}" for f, ls in value.places.items())
        name = f"{value.metric} of {value.method}  " if several else ""
        # Methods are compared by how far they miss a right value; a metric's own column is not.
        off = ""
        if cell.metric == cell.row.get("metric") and not math.isnan(value.missed):
            right = METRICS[value.metric].better.target
            off = f" (missing {right:g} by {value.missed:.6f})"
        yield f"  {value.subject}  {name}{value.value:.6f}{off}  {places}"
    if several or cell.metric is None:
        return
    level = cell.origin.settings.evaluation.interval
    names = dict(zip(ENDS, ("mean over subjects", "lower end", "upper end"), strict=True))
    for end, number in summary_of(values, level).items():
        if cell.column == cell.metric + end and same(cell.text, f"{number:.6f}"):
            what = names[end] + (f" of the {100 * level:g}% t interval" if end else "")
            yield f"  {what} of these {len(values)} values: {number:.6f}, as the cell says"


def _runs(cell: Cell, runs: Sequence[Ran]) -> Iterator[str]:
    yield ""
    yield "Runs"
    for ran in runs:
        told = ran.evaluation.told
        yield f"  evaluated  {ran.evaluation.metrics.with_suffix('.json')}"
        yield f"             {_made_by(told)}"
        if ran.evaluation.synthesized is not None:
            yield f"  synthesis  {ran.evaluation.synthesized.path}"
        if ran.synthesis is not None:
            drawn = ran.synthesis
            what = (f"{drawn['method']} by {drawn['sampler']}, fold {drawn['fold']}, "
                    f"seed {drawn['seed']}")  # fmt: skip
            yield f"             {what}; {_made_by(drawn)}"
        if ran.evaluation.synthesized is None:
            yield "  model      none: it is what anatomy determines of simulated PET"
        elif ran.model is None or ran.training is None:
            yield "  model      the table was not given it (--models)"
        else:
            trained = ran.training
            yield f"  model      {ran.model / TRAINING_RECORD}"
            people = ", ".join(f"{k} {len(v)}" for k, v in trained["subjects"].items())
            yield (
                f"             {trained['counts']['updates']} updates on {people}; "
                f"weights sha256 {(ran.weights or 'gone')[:12]}; {_made_by(trained)}"
            )
        yield f"  packed     {ran.evaluation.packed.path}"
        if ran.packed is not None:
            yield f"             {ran.packed['kind']}; {_made_by(ran.packed)}"
    for made in fitted_on(cell):
        yield f"  fitted on  {made.path}"
    if not runs:
        for part, files in cell.origin.files.items():
            for made in files if part in cell.origin.result.needs else ():
                yield f"  {part:<11}  {made.path}"
    yield f"  table      {cell.origin.file}"
    yield f"             {_made_by({'provenance': cell.origin.provenance})}"


def _made_by(told: dict[str, Any]) -> str:
    """Code and packages of a run, and how many settings stand in its record."""
    provenance = told.get("provenance", {})
    versions = ", ".join(f"{k} {v}" for k, v in provenance.get("versions", {}).items())
    settings = ", ".join(provenance.get("settings", {})) or "none"
    return f"code {provenance.get('code', '?')}, {versions}; settings in the file: {settings}"


def _scans(rows: pd.DataFrame, runs: Sequence[Ran]) -> Iterator[str]:
    yield ""
    if not runs:
        return
    yield "Scans of each subject, from the synthetic image to the raw series"
    told: set[tuple[str, str]] = set()
    for ran in runs:
        of = rows[rows["file"] == ran.evaluation.metrics]
        for subject, theirs in of.groupby("subject", sort=False):
            yield f"  {subject}"
            for scan in scans_of(ran, str(subject), dict.fromkeys(theirs["tracer"])):
                key = (str(subject), str(scan.file))
                if key in told and scan.what != "synthetic PET":
                    continue
                told.add(key)
                gone = "" if scan.there else "  (no longer there)"
                yield f"    {scan.what:<14} {scan.file}  {scan.told}".rstrip() + gone
