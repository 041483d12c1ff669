"""The page of one person: HTML that holds its own style and pictures, nothing from the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad.pages import embedded, filled
from relad.prediction.record import Record
from relad.qc.page import Range
from relad.qc.table import SUBJECT, range_of
from relad.status import SubjectStatus

_PAGE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Tracer:
    """What the page shows of one tracer: its name, ligand, picture and rows of regions."""

    name: str
    ligand: str
    picture: Path
    rows: Sequence[Mapping[str, Any]]


def render(
    status: SubjectStatus,
    record: Record,
    *,
    model: Mapping[str, Any],
    use: str,
    sources: Mapping[str, str],
    warnings: Sequence[str],
    tracers: Sequence[Tracer],
    registration: Path,
    sampling: str,
    files: Sequence[str],
) -> str:
    """Fill the page's template.

    Parameters
    ----------
    status
        Of the person's scans, judged.
    record
        Of the model.
    model
        See :meth:`relad.prediction.record.Record.about`.
    use
        What the images may be used for.
    sources
        Modality -> name of the scan.
    warnings
        In what the person differs from whom the model was trained on.
    tracers
        What was made.
    registration
        Picture of the registrations.
    sampling
        In words.
    files
        Names of the images and tables.

    Returns
    -------
    HTML.
    """
    limits = record.settings.qc
    quality = [
        (name.replace("_", " "), status.numbers[name], str(Range(*range_of(name, limits))))
        for name in SUBJECT
        if name in status.numbers
    ]
    return filled(
        _PAGE,
        filters={"embedded": embedded},
        subject=status.subject,
        note=record.note(status.kind),
        use=use,
        sources=sources,
        warnings=warnings,
        tracers=tracers,
        registration=registration,
        quality=quality,
        model=model,
        name=record.name,
        sampling=sampling,
        files=files,
    )
