"""The page's template filled from tables, figures and folders of quality."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad import __version__
from relad.pages import filled
from relad.results.hashed import mentions, relative
from relad.results.metrics import METRICS
from relad.results.origin import Origin
from relad.results.page.pictures import Picture, pictures
from relad.results.page.quality import Quality
from relad.results.runs import Run, kinds_of, runs_behind, settings_of, versions_of
from relad.results.verdict import verdicts
from relad.status import note_of
from relad.study.catalogue import TABLE

_TEMPLATE = Path(__file__).with_name("page.html.j2")
#: Heading of the column of methods.
_METHOD = "Method"
#: A number as tables for reading print it, at the beginning of a cell.
_NUMBER = re.compile(r"[<>\[]?\s*([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")


@dataclass(frozen=True)
class Heading:
    """A column's heading: its text, the metric it is of, and whether it is one of numbers."""

    text: str
    metric: str | None
    number: bool


@dataclass(frozen=True)
class Body:
    """One cell: text, number to sort by, and whether it is the best of its group."""

    text: str
    value: float | None
    bold: bool


@dataclass(frozen=True)
class TableShown:
    """A table on the page.

    Attributes
    ----------
    origin
        Of the table.
    headings
        Of its columns.
    rows
        Number in the CSV, whether a group begins, and cells.
    named_by
        Column that tells rows apart, and stays in sight: that of the methods, or else the first.
    """

    origin: Origin
    headings: list[Heading]
    rows: list[tuple[int, bool, list[Body]]]

    @property
    def named_by(self) -> int:
        texts = [heading.text for heading in self.headings]
        return texts.index(_METHOD) if _METHOD in texts else 0


@dataclass(frozen=True)
class FigureShown:
    origin: Origin
    caption: str
    picture: Picture


def page(out: Path, origins: Sequence[Origin], quality: Sequence[Quality]) -> str:
    """Fill the page.

    Parameters
    ----------
    out
        Where it will lie; what it names of the results, it names from there.
    origins
        Of tables and figures, in the order in which they are shown.
    quality
        Of every cohort that was preprocessed here.

    Returns
    -------
    HTML.

    Raises
    ------
    ReladError
        Where the record of a run behind a table or figure is missing or damaged.
    """
    runs = runs_behind(origins)
    tables = [_table(origin) for origin in origins if origin.result.kind == TABLE]
    drawn = [origin for origin in origins if origin.result.kind != TABLE]
    figures = [
        # The note above a caption stands on the page already.
        FigureShown(origin, origin.caption[1], picture)
        for origin, picture in zip(drawn, pictures([o.product for o in drawn]), strict=True)
    ]
    shown = {h.metric for table in tables for h in table.headings if h.metric}
    voxel_mm = origins[0].settings.grid.voxel_mm
    kinds = kinds_of(runs)
    return filled(
        _TEMPLATE,
        filters={"from_here": lambda file: relative(file, out.parent)},
        version=__version__,
        made_of=mentions((origin.product for origin in origins), out.parent),
        note=note_of(kinds.values()),
        kinds=kinds,
        verdicts=verdicts(origins),
        tables=tables,
        figures=figures,
        metrics={name: _meaning(name, voxel_mm) for name in METRICS if name in shown},
        quality=quality,
        methods=_methods(runs, origins),
        settings=settings_of(runs),
        versions=versions_of(runs),
    )


def _table(origin: Origin) -> TableShown:
    shown = origin.shown
    labels = {metric.label: name for name, metric in METRICS.items()}
    rows_shown = [row for group in shown["groups"] for row in group]

    def holds_numbers(column: int) -> bool:
        """Whether it is sorted as numbers: verdicts and notes stand among the numbers, too."""
        if column < shown["numbers_from"]:
            return False
        return any(_value(row[column]) is not None for row in rows_shown)

    headings = [
        Heading(text, labels.get(text), holds_numbers(column))
        for column, text in enumerate(shown["headers"])
    ]
    bold = {tuple(place) for place in shown["bold"]}
    rows: list[tuple[int, bool, list[Body]]] = []
    read = shown["read"]
    for group in shown["groups"]:
        for first, row in enumerate(group):
            number = len(rows)
            cells = [
                Body(text, _value(text) if heading.number else None, (number, column) in bold)
                for column, (text, heading) in enumerate(zip(row, headings, strict=True))
            ]
            rows.append((read[number], first == 0, cells))
    return TableShown(origin, headings, rows)


def _value(text: str) -> float | None:
    match = _NUMBER.match(text)
    return float(match[1].replace(",", "")) if match else None


def _meaning(name: str, voxel_mm: float) -> tuple[str, str]:
    """A metric's label, and what it means."""
    metric = METRICS[name]
    said = (metric.better.value.strip("←→ "), metric.said(voxel_mm))
    return metric.label, "; ".join(filter(None, said))


def _methods(runs: Sequence[Run], origins: Sequence[Origin]) -> list[Mapping[str, Any]]:
    """Every method with a model: label, id, inputs, updates, folds and seeds."""
    labels = {name: m.label for o in origins for name, m in o.settings.methods.items()}
    found: dict[str, dict[str, Any]] = {}
    for run in (run for run in runs if run.step == "train"):
        told = run.told
        name = told["method"]
        entry = found.setdefault(
            name,
            {
                "label": labels.get(name, name),
                "id": name,
                "inputs": ", ".join(told.get("entry", {}).get("inputs", ())),
                "updates": told["counts"]["updates"],
                "parameters": told["counts"].get("parameters_generator"),
                "folds": {},
                "seeds": {},
            },
        )
        entry["folds"][told["fold"]] = entry["seeds"][told["seed"]] = None
    return [
        {**e, "folds": ", ".join(map(str, e["folds"])), "seeds": ", ".join(map(str, e["seeds"]))}
        for e in found.values()
    ]
