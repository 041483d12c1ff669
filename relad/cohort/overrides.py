"""What a person puts right that headers or descriptions have wrong: section ``ingest.overrides``.

An override names a series (an image id of ingest.tsv) or a subject, what of it is wrong, what is
right, and why. Every use is a note in ingest.tsv; one that matches nothing is an error, since
whoever wrote it believes that it holds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom import Sequence as Items

from relad.cohort import dicom
from relad.cohort.bids import UNKNOWN
from relad.cohort.choice import DAY_S
from relad.cohort.dicom_series import Series
from relad.cohort.images import Candidate, Row, sidecar_beside
from relad.cohort.series import modality_of
from relad.errors import DataError, ReladError
from relad.fileio import beside, read_json
from relad.study.settings import IngestOverride, Tracer
from relad.study.subjects import bids_label

#: Values of the key ``kind``; the last one drops the series.
KINDS = ("T1w", "FLAIR", "PET", "none")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,6})?))?")


def of_cohort(overrides: Iterable[IngestOverride], cohort: str | None) -> list[IngestOverride]:
    """Overrides of one cohort.

    Raises
    ------
    ReladError
        Where ``cohort`` is None and they are of several.
    """
    some = [entry for entry in overrides if cohort in (None, entry.cohort)]
    cohorts = sorted({str(entry.cohort) for entry in some})
    if len(cohorts) > 1:
        raise ReladError(
            f"ingest.overrides are of several cohorts ({', '.join(cohorts)})",
            hint="name the one that SOURCE is by --cohort",
        )
    return some


def apply(
    candidates: Sequence[Candidate],
    overrides: Iterable[IngestOverride],
    tracers: Mapping[str, Tracer],
) -> list[Candidate]:
    """Candidates with what overrides say of each; of two that say one thing the later one holds.

    Raises
    ------
    ReladError
        Where an override matches nothing, or its value is none of its key's.
    """
    found: dict[int, dict[str, IngestOverride]] = defaultdict(dict)
    for override in overrides:
        _check(override, tracers)
        matched = [i for i, one in enumerate(candidates) if _is_of(override, one, tracers)]
        if not matched:
            about = "a PET" if override.key != "kind" else "an image"
            raise ReladError(
                f"ingest.overrides: {_names(override)} is not {about} of the source that could be "
                "used",
                hint="series are image_id in ingest.tsv, subjects the source's own or BIDS labels",
            )
        for index in matched:
            found[index][override.key] = override
    return [_with(one, found.get(index, {})) for index, one in enumerate(candidates)]


def _check(override: IngestOverride, tracers: Mapping[str, Tracer]) -> None:
    if override.key == "kind" and override.series is None:
        raise ReladError(
            f"ingest.overrides: {_names(override)}: a kind is of one series",
            hint="name the series by its image_id in ingest.tsv",
        )
    known = {"kind": KINDS, "tracer": tuple(tracers)}.get(override.key)
    if known is not None and override.value not in known:
        raise ReladError(
            f"ingest.overrides: {_names(override)}: {override.key} cannot be {override.value!r}",
            hint=f"known: {', '.join(known)}",
        )
    if override.key == "injection" and override.value != UNKNOWN:
        _seconds_of_day(override.value, _names(override))


def _names(override: IngestOverride) -> str:
    return f"series {override.series}" if override.series else f"subject {override.subject}"


def _is_of(override: IngestOverride, candidate: Candidate, tracers: Mapping[str, Tracer]) -> bool:
    entry = candidate.entry
    if override.series is not None:
        named = fnmatchcase(entry.image_id, override.series)
    else:
        label = str(override.subject)
        named = fnmatchcase(entry.ptid, label) or fnmatchcase(bids_label(entry.ptid), label)
    return named and (override.key == "kind" or _is_pet(candidate, tracers))


def _is_pet(candidate: Candidate, tracers: Mapping[str, Tracer]) -> bool:
    """Whether an image is a PET; its files are asked where the source has no modality of it."""
    entry = candidate.entry
    modality = entry.modality.strip()
    if candidate.kind is None and not modality:
        modality = modality_of(_header(candidate.files), entry.description, tracers)
    return candidate.kind == "PET" or modality.upper() in ("PET", "PT")


def _header(files: Sequence[Path]) -> Mapping[str, Any]:
    """What files say of their modality, the first of them that can be read."""
    if not files[0].name.lower().endswith(".dcm"):
        return sidecar_beside(files[0])
    for file in files:
        try:
            with dicom.readable(file.name):
                return {"Modality": dicom.read_header(file)[0].get("Modality")}
        except DataError:
            continue
    return {"Modality": "PT"}  # it will be dropped for what is wrong with it, and the rest goes on


def _with(candidate: Candidate, found: Mapping[str, IngestOverride]) -> Candidate:
    if not found:
        return candidate
    said = {key: str(override.value) for key, override in found.items()}
    notes = [
        f"{key} set to {override.value} by ingest.overrides"
        f" ({': '.join(filter(None, (override.who, override.why)))})"
        for key, override in found.items()
    ]
    kind, problem = said.get("kind", candidate.kind), candidate.problem
    if kind == "none":
        kind, problem = candidate.kind, f"not used: {found['kind'].why}"
    return replace(
        candidate, kind=kind, problem=problem, put_right=said, put_right_note="; ".join(notes)
    )


def noted(rows: Iterable[Row], candidates: Iterable[Candidate]) -> list[Row]:
    """Rows of ingest.tsv with a note on every override, also where the image was dropped."""
    said = {(c.entry.ptid, c.entry.image_id): c.put_right_note for c in candidates}
    out = []
    for row in rows:
        note = said.get((row["ptid"], row["image_id"]))
        out.append({**row, "note": "; ".join(filter(None, (note, row["note"])))} if note else row)
    return out


# --- what is put right of one PET ---------------------------------------------------------------


def put_right(
    candidate: Candidate, series: Series | None, tracers: Mapping[str, Tracer]
) -> Candidate:
    """Put tracer and injection of one image right, in its header (in memory) or in its sidecar.

    Raises
    ------
    DataError
        Where the injection of a NIfTI cannot be told, since no clock time of its scan is known.
    """
    told = candidate.put_right
    sidecar = dict(candidate.sidecar)
    drug = None if series is None else _drug(series.header)
    if "tracer" in told:
        ligand = tracers[told["tracer"]].ligand
        sidecar["TracerName"] = ligand
        if drug is not None:
            drug.Radiopharmaceutical = ligand
    if "injection" in told:
        at = told["injection"]
        seconds = None if at == UNKNOWN else _seconds_of_day(at, candidate.entry.image_id)
        if drug is None:
            sidecar["InjectionStart"] = (
                UNKNOWN if seconds is None else _after_zero(seconds, candidate)
            )
        else:
            _set_start(drug, seconds)
    return replace(candidate, sidecar=sidecar) if told else candidate


def _drug(header: Dataset) -> Dataset:
    """What a header says of the tracer; an empty entry where it says nothing."""
    if not header.get("RadiopharmaceuticalInformationSequence"):
        header.RadiopharmaceuticalInformationSequence = Items([Dataset()])
    return header.RadiopharmaceuticalInformationSequence[0]


def _set_start(drug: Dataset, seconds: float | None) -> None:
    """Set the one time of day of an injection; the header's other word for it goes."""
    for keyword in ("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"):
        if keyword in drug:
            delattr(drug, keyword)
    if seconds is not None:
        whole, rest = divmod(seconds, 1)
        minutes, second = divmod(int(whole), 60)
        clock = f"{minutes // 60:02d}{minutes % 60:02d}{second:02d}.{round(rest * 1e6):06d}"
        drug.RadiopharmaceuticalStartTime = clock


def _after_zero(seconds: float, candidate: Candidate) -> float:
    """Injection in s after a sidecar's TimeZero, less than half a day from it."""
    zero = candidate.sidecar.get("TimeZero")
    file = beside(candidate.files[0], ".json")
    if zero is None and file.is_file():
        told = read_json(file)
        zero = told.get("TimeZero") if isinstance(told, dict) else None
    if not isinstance(zero, str) or not _CLOCK.fullmatch(zero):
        raise DataError(
            "its sidecar has no TimeZero from which the injection of ingest.overrides could be "
            "counted",
            file=file.name,
        )
    apart = seconds - _seconds_of_day(zero, file.name)
    return round((apart + DAY_S / 2) % DAY_S - DAY_S / 2, 3)


def _seconds_of_day(value: str | float, where: str) -> float:
    """Seconds after midnight of ``HH:MM:SS``, or of the number that YAML makes of it."""
    text = str(value)
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match[1]), int(match[2]), float(match[3] or 0)
        if hours < 24 and minutes < 60 and seconds < 60:
            whole = timedelta(hours=hours, minutes=minutes, seconds=seconds)
            return whole.total_seconds()
    elif re.fullmatch(r"\d+(\.\d+)?", text):
        # YAML reads 13:10:00 as a number of seconds, and 13:10 as one of minutes.
        number = float(text)
        if 3600 <= number < DAY_S:
            return number
        if 60 <= number < 1440:
            return number * 60
    raise ReladError(
        f"ingest.overrides: {where}: injection cannot be {text!r}",
        hint="give the time of day on the scanner's clock, HH:MM:SS, or unknown",
    )
