"""What a study found, in sentences: those of its table of decisions, or of who beats the floor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from relad.fileio import read_table
from relad.results.metrics import METRICS
from relad.results.origin import Origin
from relad.study.catalogue import TABLE

#: Name of the table whose every row is a decision, and its columns that are read here.
DECISIONS = "decisions"
#: Column with the sentence of a row.
SENTENCE = "verdict"
_GROUPED_BY = ("family", "cohort", "metric")


@dataclass
class Verdict:
    """Sentences under one heading, and the table they are read from."""

    heading: str
    table: str
    sentences: list[str] = field(default_factory=list)


def verdicts(origins: Iterable[Origin]) -> list[Verdict]:
    """What some tables say was found, those of the most weight first; empty where none says it.

    From ``decisions.csv``, whose column ``verdict`` holds a sentence for each row, under one
    heading for each family, cohort and metric. Where there is no such table, from the lines that a
    table was made with (``summary`` of its record), such as the gain over the floor.

    Raises
    ------
    ReladError
        Where the table of decisions has no such columns.
    """
    tables = [origin for origin in origins if origin.result.kind == TABLE]
    decisions = [origin for origin in tables if origin.result.name == DECISIONS]
    return [v for o in decisions for v in _of_decisions(o)] or [
        v for origin in tables for v in _of_summary(origin)
    ]


def _of_decisions(origin: Origin) -> list[Verdict]:
    found: dict[str, Verdict] = {}
    for row in read_table(origin.product, needs=(*_GROUPED_BY, SENTENCE)):
        family, cohort, metric = (row[key] or "" for key in _GROUPED_BY)
        label = METRICS[metric].label if metric in METRICS else metric
        heading = ", ".join(filter(None, (family, cohort, label)))
        verdict = found.setdefault(heading, Verdict(heading, origin.result.name))
        if row[SENTENCE]:
            verdict.sentences.append(row[SENTENCE])
    return list(found.values())


def _of_summary(origin: Origin) -> list[Verdict]:
    found: list[Verdict] = []
    for line in origin.shown["summary"]:
        words = re.sub(r"\s{2,}", ", ", line.strip())  # columns, for the terminal
        if line.startswith(" ") and found:
            found[-1].sentences.append(words)
        else:
            found.append(Verdict(words, origin.result.name))
    return found
