"""The quality page filled in: HTML with its own style and script, nothing from the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad.pages import filled
from relad.qc.table import range_of
from relad.study.settings import Quality

#: ``partial``: the subject is used, but an image of it is missing or excluded.
STATUSES = ("ok", "partial", "excluded")
#: Columns that are no numbers.
WORDS = ("subject", "status", "session", "used", "reason", "override")

_PAGE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Range:
    """Least and greatest accepted value of a column; None where there is no limit."""

    low: float | None
    high: float | None

    def holds(self, value: float) -> bool:
        return not (
            (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
        )

    def __str__(self) -> str:
        words = (("at least", self.low), ("at most", self.high))
        return " to ".join(f"{word} {limit:g}" for word, limit in words if limit is not None)


@dataclass(frozen=True)
class Shown:
    """What the page shows of one subject beside its row.

    Attributes
    ----------
    picture, tiles, outline
        Names of files in ``pictures/``; None where there is none.
    views
        What :mod:`relad.qc.flicker` says of the tiles.
    motion
        Tracer -> motion of its frames, as `relad register` wrote it.
    """

    picture: str | None
    tiles: str | None
    outline: str | None
    views: Mapping[str, Any] | None
    motion: Mapping[str, Mapping[str, Any]]

    @property
    def files(self) -> list[str]:
        return [name for name in (self.picture, self.tiles, self.outline) if name]

    def as_data(self) -> dict[str, Any]:
        """As the page's script reads it: of a frame start, end, displacement, in the window."""
        motion = {
            tracer: {
                "corrected": told["corrected"],
                "frames": [
                    [frame["start_s"], frame["start_s"] + frame["duration_s"],
                     frame["displacement_mm"], frame["in_window"]]
                    for frame in told["frames"]
                ],
            }
            for tracer, told in self.motion.items()
        }  # fmt: skip
        if self.views is None:
            return {"motion": motion}
        where = {name: index for index, name in enumerate(self.views["views"])}
        edges = {name: index for index, name in enumerate(self.views["outlines"])}
        pairs = [
            [pair["name"], pair["first"], pair["second"], where[pair["first"]],
             where[pair["second"]], edges[pair["outline"]]]
            for pair in self.views["pairs"]
        ]  # fmt: skip
        return {
            "motion": motion,
            "tiles": f"pictures/{self.tiles}",
            "outline": f"pictures/{self.outline}",
            "pairs": pairs,
            "size": self.views["size"],
        }


def render(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    shown: Mapping[str, Shown],
    limits: Quality,
    note: str,
) -> str:
    """Fill the page's template.

    Parameters
    ----------
    title
        Name of the cohort.
    rows, columns
        Table of :mod:`relad.qc.table`.
    shown
        Subject -> what is shown of it.
    limits
        Section ``qc`` of the configuration; values outside them are marked.
    note
        What the page must say of its data, or an empty string.

    Returns
    -------
    HTML.
    """
    always = set(WORDS) - {"override"}
    names = [c for c in columns if c in always or any(row.get(c) is not None for row in rows)]
    return filled(
        _PAGE,
        filters={"short": _short},
        title=title,
        note=note,
        rows=rows,
        columns=names,
        words=WORDS,
        statuses=STATUSES,
        ranges={column: Range(*range_of(column, limits)) for column in names},
        pictures={s: f"pictures/{facts.picture}" for s, facts in shown.items() if facts.picture},
        shown={subject: facts.as_data() for subject, facts in shown.items()},
        most_mm=limits.max_motion_mm,
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
