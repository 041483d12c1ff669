"""What to register: one session's T1w, FLAIR and PET of a BIDS dataset, and the PET's frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relad.cohort import derivatives
from relad.cohort.dicom_kind import unfit
from relad.cohort.frame_times import check_sidecar, decay_corrected
from relad.cohort.images import PUT_RIGHT_KEY
from relad.cohort.pairing import unpaired, visit_of
from relad.cohort.series import tracers_in
from relad.cohort.windows import MIN_SHARE, frames_inside
from relad.errors import DataError
from relad.fileio import beside, read_object
from relad.study.settings import OwnLabels, Tracer

#: No scan's times are further from its injection (s).
_LONGEST_S = 1e7


@dataclass(frozen=True)
class Session:
    """Images of one session, of which only the T1w must be there.

    ``pets`` maps tracer id to image, ``brain_mask`` is that of the dataset's derivatives,
    ``unpaired`` maps tracer id to the reason why its PET is left out. ``segmentation`` is the
    person's own label image, which may prove not to be there; ``segmentation_table`` names its
    labels.
    """

    name: str | None
    t1w: Path
    flair: Path | None
    pets: dict[str, Path]
    brain_mask: Path | None
    unpaired: dict[str, str] = field(default_factory=dict)
    segmentation: Path | None = None
    segmentation_table: Path | None = None


def sidecar(image: Path) -> dict[str, Any]:
    """Read the JSON file beside an image; empty where there is none."""
    path = beside(image, ".json")
    return read_object(path) if path.exists() else {}


def scanner_of(told: Mapping[str, Any]) -> str | None:
    """Manufacturer, model and field strength that a sidecar names; None where it names none."""
    words = [str(told.get(key) or "") for key in ("Manufacturer", "ManufacturersModelName")]
    strength = told.get("MagneticFieldStrength")
    if isinstance(strength, int | float):
        words.append(f"{strength:.2g} T")
    return " ".join(filter(None, words)) or None


def _one(folder: Path, suffix: str) -> Path | None:
    found = sorted([*folder.glob(f"*_{suffix}.nii.gz"), *folder.glob(f"*_{suffix}.nii")])
    return found[0] if found else None


def _order(folder: Path, t1w: Path) -> tuple[str, list[Any]]:
    """Sort key of a session: acquisition date where known, then visit (bl < m06 < m12 < m120)."""
    meta = sidecar(t1w)
    when = meta.get("SourceAcquisitionDate") or meta.get("AcquisitionDateTime") or "9999"
    months = re.findall(r"\d+", folder.name)
    return str(when), [int(months[0]) if months else 0, folder.name]


def _pets(folder: Path, tracers: Mapping[str, Tracer]) -> dict[str, Path]:
    """PET of a session by tracer id, by what the sidecars state."""
    pets: dict[str, Path] = {}
    for image in sorted((folder / "pet").glob("*_pet.nii*")):
        for tracer in tracers_in(str(sidecar(image).get("TracerName", "")), tracers):
            pets.setdefault(tracer, image)
    return pets


def choose_session(
    bids: Path, subject: str, tracers: Mapping[str, Tracer], own: OwnLabels | None = None
) -> Session:
    """Choose a subject's scans that are used together.

    Where ``pairs.tsv`` of `relad ingest` pairs PET of the subject with a T1w, it decides (see
    :func:`relad.cohort.pairing.visit_of`); the PET may then be of another session. Else it is the
    subject's most complete session, the earliest of several: T1w, FLAIR and a PET go before T1w and
    FLAIR, these before T1w and a PET, these before a T1w alone. A subject is lost only where there
    is no T1w, to which all else is registered.

    Parameters
    ----------
    bids
        Root of the dataset.
    subject
        Label without ``sub-``.
    tracers
        Section ``tracers`` of the configuration; a PET is taken for the tracer whose ligand or
        alias its sidecar's ``TracerName`` states.
    own
        Section ``segmentation``; without it, label images are not looked for.

    Raises
    ------
    DataError
        Where no session has a T1w.
    """
    session = replace(_choose(bids, subject, tracers), unpaired=unpaired(bids, subject))
    return session if own is None else _with_labels(session, bids, subject, own)


def _with_labels(session: Session, bids: Path, subject: str, own: OwnLabels) -> Session:
    """Add the person's own label image and its table, by the study's pattern or of derivatives."""

    def file(pattern: str | None) -> Path | None:
        filled = (pattern or "").replace("{subject}", subject)
        return Path(filled.replace("{session}", session.name or "")) if filled else None

    labels, table = file(own.labels), file(own.table)
    if labels is None:
        found = _derivatives(bids, session.t1w).labels
        labels, beside_it = found.get(session.t1w.name, (None, None))
        table = table or beside_it
    if labels is not None and table is None:
        table = table_beside(labels)
    return replace(session, segmentation=labels, segmentation_table=table)


def table_beside(labels: Path) -> Path:
    """Where BIDS has the table that names the labels of an image."""
    return beside(labels, ".tsv")


def _choose(bids: Path, subject: str, tracers: Mapping[str, Tracer]) -> Session:
    visit = visit_of(bids, subject)
    if visit is not None:
        folder = visit.t1w.parent.parent
        pets = {tracer: path for tracer, path in visit.pets.items() if tracer in tracers}
        return _session(bids, folder, visit.t1w, visit.flair, pets)
    # PET that pairing left out lies too far from the MRI of its session, too.
    pairs_known = (bids / "pairs.tsv").is_file()
    root = bids / f"sub-{subject}"
    candidates = []
    for folder in [*sorted(root.glob("ses-*")), root]:
        t1w, flair = _one(folder / "anat", "T1w"), _one(folder / "anat", "FLAIR")
        if t1w is None:
            continue
        pets = {} if pairs_known else _pets(folder, tracers)
        lacks = (flair is None, not pets)
        candidates.append((lacks, _order(folder, t1w), folder, t1w, flair, pets))
    if not candidates:
        raise DataError(f"sub-{subject} has no session with a T1w")
    _, _, folder, t1w, flair, pets = min(candidates, key=lambda c: c[:3])
    return _session(bids, folder, t1w, flair, pets)


def _session(
    bids: Path, folder: Path, t1w: Path, flair: Path | None, pets: dict[str, Path]
) -> Session:
    """Complete a session by its name and by the derivatives' brain mask of its T1w."""
    return Session(
        name=folder.name.removeprefix("ses-") if folder.name.startswith("ses-") else None,
        t1w=t1w,
        flair=flair,
        pets=pets,
        brain_mask=_derivatives(bids, t1w).masks.get(t1w.name),
    )


def _derivatives(bids: Path, t1w: Path) -> derivatives.Derivatives:
    """What other programs made of the T1ws of a session."""
    t1ws = [file.name for file in sorted(t1w.parent.glob("*_T1w.nii*"))]
    return derivatives.of_session(bids, t1w.parent.parent.relative_to(bids), t1ws)


def _seconds(meta: Mapping[str, Any], key: str) -> list[float]:
    value = meta.get(key)
    values = value if isinstance(value, list) else [value]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or not all(abs(v) <= _LONGEST_S for v in values):
        raise DataError(f"its sidecar does not state {key} (it says {str(value)[:60]!r})")
    return [float(v) for v in values]


def durations(meta: Mapping[str, Any], count: int) -> list[float] | None:
    """Durations (s) of an image's frames; None where its sidecar states none.

    Raises
    ------
    DataError
        Where it states others than the image has.
    """
    if "FrameDuration" not in meta:
        return None
    stated = _seconds(meta, "FrameDuration")
    if len(stated) != count or min(stated) <= 0:
        raise DataError(f"its sidecar's FrameDuration is not of {count} frames")
    return stated


@dataclass(frozen=True)
class Frames:
    """Frames of an image; those inside a tracer's window are averaged.

    Attributes
    ----------
    indices
        Of the frames inside the window, counted from 0.
    starts, durations
        Of every frame, in s; starts are counted from the injection.
    """

    indices: list[int]
    starts: list[float]
    durations: list[float]

    @property
    def reference(self) -> int:
        """Index of the frame in the middle of the window, to which the others are realigned."""
        return self.indices[len(self.indices) // 2]

    @property
    def weights(self) -> list[float]:
        """Durations in s of the frames inside the window."""
        return [self.durations[i] for i in self.indices]

    @property
    def span(self) -> tuple[float, float]:
        """Start of the first and end of the last frame inside the window, in s."""
        last = self.indices[-1]
        return self.starts[self.indices[0]], self.starts[last] + self.durations[last]


def check_tracer(meta: Mapping[str, Any], tracer: str, tracers: Mapping[str, Tracer]) -> None:
    """Refuse a PET whose sidecar says what `relad ingest` refuses, or another of the tracers.

    Raises
    ------
    DataError
        Saying which.
    """
    if meta.get("Modality") == "MR":
        raise DataError("is an MRI and no PET, as its sidecar says (Modality)")
    wrong = None if PUT_RIGHT_KEY in meta else unfit(meta, "PET")
    if wrong:
        raise DataError(wrong, hint="where that is wrong, ingest.overrides puts its kind right")
    named = str(meta.get("TracerName", ""))
    told = tracers_in(named, tracers)
    if told and tracer not in told:
        raise DataError(f"is given as {tracer}, but its sidecar says TracerName {named!r}")


def is_timed(meta: Mapping[str, Any]) -> bool:
    """Whether a sidecar states when its frames began and how long they took."""
    try:
        return bool(_seconds(meta, "FrameTimesStart") and _seconds(meta, "FrameDuration"))
    except DataError:
        return False


def whole_window(window_min: Sequence[float]) -> Frames:
    """The one frame of an image that is the mean of its tracer's window already."""
    start, end = (60.0 * minute for minute in window_min)
    return Frames([0], [start], [end - start])


def choose_frames(meta: Mapping[str, Any], count: int, window_min: Sequence[float]) -> Frames:
    """Choose the frames that lie inside a window of minutes after injection, by half at least.

    Parameters
    ----------
    meta
        BIDS-PET sidecar; ``FrameTimesStart`` and ``InjectionStart`` are s after ``TimeZero``.
    count
        Number of frames in the image.
    window_min
        First and last minute.

    Raises
    ------
    DataError
        Where the sidecar lacks timing, disagrees with the image or itself, or the frames inside
        cover less than half of the window.
    """
    if not meta:
        raise DataError(
            "has no sidecar that times its frames (for one person's static image: relad preprocess "
            "--pet-window-already-averaged)"
        )
    starts, durations = _seconds(meta, "FrameTimesStart"), _seconds(meta, "FrameDuration")
    if not len(starts) == len(durations) == count:
        raise DataError(
            f"its sidecar times {len(starts)} starts and {len(durations)} durations "
            f"for {count} frames"
        )
    injections = _seconds(meta, "InjectionStart")
    if len(injections) != 1:
        raise DataError(f"its sidecar states {len(injections)} times of injection")
    (injection,) = injections
    if decay_corrected(meta) is False and count > 1:
        raise DataError("its frames are not corrected for decay, so they cannot be averaged")
    starts = [start - injection for start in starts]
    if min(durations) <= 0:
        raise DataError("its sidecar states a frame duration of 0 s")
    check_sidecar(meta, window_min)
    indices, covered = frames_inside(starts, durations, window_min)
    first, last = starts[0] / 60, (starts[-1] + durations[-1]) / 60
    scan = f"(the scan runs from {first:.1f} to {last:.1f} min)"
    if not indices:
        raise DataError(
            f"no frame lies within {window_min[0]:g} to {window_min[1]:g} min after injection "
            f"{scan}"
        )
    if covered < MIN_SHARE:
        raise DataError(
            f"its frames cover {covered:.0%} of {window_min[0]:g} to {window_min[1]:g} min after "
            f"injection {scan}, less than {MIN_SHARE:.0%}"
        )
    return Frames(indices, starts, durations)
