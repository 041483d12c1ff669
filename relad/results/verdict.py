"""What a study found, in sentences: those of its table of decisions, or of who beats the floor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from relad.fileio import read_table
from relad.results.metrics import METRICS
from relad.results.origin import Origin
from relad.study.catalogue import TABLE

#: Column that a table has whose every row is a decision: the sentence that tells it.
SENTENCE = "sentence"
_GROUPED_BY = ("cohort", "metric", "reference")


@dataclass
class Verdict:
    """Sentences under one heading, and the table they are read from.

    Attributes
    ----------
    heading, table, sentences
        The sentences of a heading, and the table's name.
    detail
        Whether they only repeat, one by one, what an earlier verdict of the table sums up.
    """

    heading: str
    table: str
    sentences: list[str] = field(default_factory=list)
    detail: bool = False


def verdicts(origins: Iterable[Origin]) -> list[Verdict]:
    """What some tables say was found; empty where none says it.

    From the tables of decisions, those with a column ``sentence``: what was decided, and then every
    comparison under one heading for each cohort, metric and reference. Where there is no such
    table, from the lines that a table was made with (``summary`` of its record), such as the gain
    over the floor.

    Raises
    ------
    ReladError
        Where a table of decisions lacks a column that tells what they are of.
    """
    tables = [origin for origin in origins if origin.result.kind == TABLE]
    decisions = [origin for origin in tables if SENTENCE in origin.shown["columns"]]
    return [v for origin in decisions for v in _of_decisions(origin)] or [
        v for origin in tables for v in _of_summary(origin)
    ]


def _of_decisions(origin: Origin) -> list[Verdict]:
    name, methods = origin.result.name, origin.settings.methods
    found: dict[str, Verdict] = {}
    for row in read_table(origin.product, needs=(*_GROUPED_BY, SENTENCE)):
        cohort, metric, reference = (row[key] or "" for key in _GROUPED_BY)
        label = METRICS[metric].label if metric in METRICS else metric
        base = methods[reference].label if reference in methods else reference
        heading = f"{cohort}, {label}, against {base}"
        verdict = found.setdefault(heading, Verdict(heading, name, detail=True))
        if row[SENTENCE]:
            verdict.sentences.append(row[SENTENCE])
    return [Verdict(origin.result.title, name, origin.shown["summary"]), *found.values()]


def _of_summary(origin: Origin) -> list[Verdict]:
    found: list[Verdict] = []
    for line in origin.shown["summary"]:
        words = re.sub(r"\s{2,}", ", ", line.strip())  # columns, for the terminal
        if line.startswith(" ") and found:
            found[-1].sentences.append(words)
        else:
            found.append(Verdict(words, origin.result.name))
    return found
