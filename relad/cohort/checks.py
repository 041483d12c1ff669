"""What one image is, and whether its headers allow to use it.

Everything that is wrong with it is an error, whose message becomes the reason in its row of
ingest.tsv; what a person should look at, though it is kept, becomes its note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from relad.cohort import (
    adni,
    bids,
    dicom,
    dicom_kind,
    dicom_pet,
    dicom_pet_checks,
    dicom_series,
    frame_times,
    overrides,
)
from relad.cohort.choice import Checked
from relad.cohort.images import PUT_RIGHT_KEY, Candidate, day_of, sidecar_beside
from relad.cohort.integrity import Checksums
from relad.cohort.series import Product, SeriesTable, modality_of, tracer_of
from relad.errors import DataError
from relad.status import is_simulated, says_simulated
from relad.study.settings import Tracer

#: Modality in a DICOM header of each kind of image.
_DICOM_MODALITY = {"T1w": "MR", "FLAIR": "MR", "PET": "PT"}
_BECQUEREL_PER_ML = "BQML"
#: Elements that hold the day of a scan, the most direct first.
_DATES = ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate")


@dataclass(frozen=True)
class Rules:
    """What decides whether an image is used: series table, tracers, checksums if there are any.

    ``simulated`` is whether the source says of all its scans that they are.
    """

    series: SeriesTable
    tracers: Mapping[str, Tracer]
    checksums: Checksums | None = None
    simulated: bool = False


def check(candidate: Candidate, rules: Rules) -> Checked:
    """Find out what an image is and read every header of it.

    Raises
    ------
    DataError
        Where it is not used or cannot be; the message is the reason.
    """
    entry, files = candidate.entry, candidate.files
    if candidate.problem:
        raise DataError(candidate.problem)
    notes: list[str | None] = [*candidate.notes]
    if rules.checksums:
        notes.append(rules.checksums.check(files) or "")
    series = None
    if all(file.name.lower().endswith(".dcm") for file in files):
        series = dicom_series.read_series(files, entry.image_id)
    if not entry.modality:  # not every table of the archive's has a column for it
        header = series.header if series else sidecar_beside(files[0])
        entry = replace(entry, modality=modality_of(header, entry.description, rules.tracers))
        candidate = replace(candidate, entry=entry)
    kind = candidate.kind or rules.series.kind_of(entry.modality, entry.description)
    told = candidate.sidecar
    if series is not None:
        told = series.header
        with dicom.readable(files[0].name):
            _check_header(series, candidate, kind)
            notes += [*series.notes, *dicom_series.check_counts(series, entry.image_id)]
            candidate, note = _dated(candidate, told)
            notes.append(note)
            said = str(told.get("SeriesDescription") or "")
            wrong = rules.series.contradiction(entry.modality, said, kind) if said else None
            if wrong and "kind" not in candidate.put_right:
                raise DataError(wrong)
    elif len(files) > 1:
        raise DataError(f"{len(files)} files where one NIfTI image is one", file=entry.image_id)
    candidate = overrides.put_right(candidate, series, rules.tracers)
    if series is None:  # a sidecar beside it, and what its source merged of others
        told = {**sidecar_beside(files[0]), **candidate.sidecar}
    labels = " ".join(candidate.labels)
    put_right = "kind" in candidate.put_right or (series is None and PUT_RIGHT_KEY in told)
    if not put_right:
        wrong = rules.series.refusal(entry.modality, labels) or dicom_kind.unfit(told, kind)
        if series is None and kind != "PET":
            said, other = _described(told, kind, entry.modality, rules.series)
            wrong, note = wrong or said, other
            notes.append(note or "")
        if wrong:
            raise DataError(wrong)
    notes += dicom_kind.remarks(told)
    tracer = product = None
    times: Mapping[str, Any] = {}
    if kind == "PET":
        tracer, product, times = _check_pet(candidate, series, told, rules, notes)
    elif dicom_kind.is_bare_mp2rage(told, entry.description):
        notes.append("an MP2RAGE that does not say that it is the uniform image")
    simulated = (
        rules.simulated
        or says_simulated(candidate.sidecar)
        or (says_simulated(series.header) if series else is_simulated(files[0]))
    )
    return Checked(
        candidate,
        kind,
        tracer,
        product,
        series,
        times,
        dicom_kind.variant_rank(told, entry.description) if kind != "PET" else (),
        simulated,
        [note for note in notes if note],
    )


def _check_pet(
    candidate: Candidate,
    series: dicom_series.Series | None,
    told: Mapping[str, Any],
    rules: Rules,
    notes: list[str | None],
) -> tuple[str, Product, Mapping[str, Any]]:
    """Tracer of a PET, how it was processed, and its times; ``notes`` takes up what to look at."""
    entry = candidate.entry
    stated = dicom_pet.radiopharmaceutical(series.header) if series else ""
    stated = stated or str(told.get("TracerName") or told.get("Radiopharmaceutical") or "")
    said = str(told.get("SeriesDescription") or "")
    described = " | ".join(dict.fromkeys(filter(None, (entry.description, said))))
    tracer = candidate.put_right.get("tracer") or tracer_of(described, stated, rules.tracers)
    product = rules.series.product_of(entry.description)
    window = rules.tracers[tracer].frames_min
    if series is None:
        times, own = told, dicom_pet.nuclide(str(told.get("TracerRadionuclide") or ""))
        if not product.averaged:
            notes += frame_times.check_sidecar(told, window)
            listed = [told.get(key) for key in ("FrameTimesStart", "FrameDuration")]
            count = max(len(found) if isinstance(found, list) else 1 for found in listed)
            notes += frame_times.decay_remarks(told, count)
    else:
        with dicom.readable(candidate.files[0].name):
            times, own = bids.pet_times(series), dicom_pet.nuclide_of(series.header)
            if not product.averaged:
                processed = product.rank > 0
                notes += dicom_pet_checks.check_times(
                    series, window, entry.image_id, processed=processed
                )
                notes += frame_times.decay_remarks(times, len(series.frames))
            notes.append(_check_decay(series, entry.image_id, product))
    notes.append(_nuclide(own, rules.tracers[tracer]))
    return tracer, product, times


def _described(
    told: Mapping[str, Any], kind: str, modality: str, series: SeriesTable
) -> tuple[str | None, str | None]:
    """Why an MRI's sidecar forbids to use it, by its description; a note of its protocol.

    Some scanners call every series of an examination's protocol by its name, "BRAIN W/WO CONTRAST":
    it decides only where there is no description.
    """
    wrong = {
        key: series.refusal(modality, text) or series.contradiction(modality, text, kind)
        for key in ("SeriesDescription", "ProtocolName")
        if (text := str(told.get(key) or "").strip())
    }
    protocol = wrong.get("ProtocolName")
    if "SeriesDescription" not in wrong:
        return protocol, None
    note = f"its ProtocolName is another image's ({protocol})" if protocol else None
    return wrong["SeriesDescription"], note


def _nuclide(own: str, tracer: Tracer) -> str:
    """A note where a PET's radionuclide is not the one with which its tracer's aliases have it."""
    found = (re.findall(r"\[(\d+)([A-Z][a-z]?)\]", alias) for alias in tracer.aliases)
    known = sorted({element + mass for one in found for mass, element in one})
    if not own or not known or own in known:
        return ""
    return f"its radionuclide is {own}, but that of {tracer.ligand} is {' or '.join(known)}"


def _dated(candidate: Candidate, header: Mapping[str, Any]) -> tuple[Candidate, str]:
    """Compare the table's day with the header's: the candidate with its day, and a note."""
    stated = [
        day
        for key in _DATES
        if (day := adni.iso_date(re.sub(r"\D", "", str(header.get(key) or ""))[:8]))
    ]
    # A scan past midnight has another day than its study.
    if not stated or candidate.entry.acq_date in stated:
        return candidate, ""
    day, note = day_of(candidate.entry, stated[0], "header")
    return replace(candidate, entry=replace(candidate.entry, acq_date=day)), note or ""


def _check_decay(series: dicom_series.Series, where: str, product: Product) -> str | None:
    """Refuse a raw scan of several reference times; of a processed one it is a note.

    Processing often copies one frame's header to all, its DecayFactor too.
    """
    try:
        dicom_pet_checks.check_decay(series, where)
    except DataError as error:
        if product.rank == 0:
            raise
        return error.what
    return None


def _check_header(series: dicom_series.Series, candidate: Candidate, kind: str) -> None:
    header, first = series.header, candidate.files[0].name
    modality = header.get("Modality")
    if modality not in (None, "", _DICOM_MODALITY[kind]):
        raise DataError(f"its header states the modality {modality}, not {kind}'s", file=first)
    patient = str(header.get("PatientID") or "")
    if adni.PTID.fullmatch(patient) and patient != candidate.entry.ptid:
        raise DataError(f"its header names the patient {patient}", file=first)
    if kind == "PET":
        units = dicom_pet.units(header)
        if units != _BECQUEREL_PER_ML:
            raise DataError(
                f"its units are {units or 'not stated'}, not Bq/mL",
                file=first,
                hint="export it from its scanner in Bq/mL (BQML)",
            )
    elif len(series.frames) > 1:
        raise several(len(series.frames), first)


def several(count: int, where: str) -> DataError:
    """Error of an image with several volumes where one is needed."""
    return DataError(
        f"holds {count} volumes where one is needed",
        file=where,
        hint="keep the one that is meant, as an image of its own",
    )
