"""One person's raw scans, wherever they lie: NIfTI files, DICOM series, or a folder of BIDS.

They are chosen, checked and converted by the code of `relad ingest`, so that a person comes to a
model as the people of its study came.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from relad.cohort import checks, convert, dicom, scans
from relad.cohort.adni import Entry
from relad.cohort.choice import Checked
from relad.cohort.images import Candidate, Row
from relad.cohort.names import parse
from relad.cohort.series import SeriesTable
from relad.cohort.sources import bids
from relad.errors import DataError, ReladError
from relad.fileio import scratch_folder
from relad.imaging.nifti import load_nifti
from relad.registration.inputs import Session, scanner_of, sidecar
from relad.status import Modality
from relad.study.config import load_settings
from relad.study.settings import IngestSettings, Tracer

#: Of a file that the user names; what it would be refused for is told (:func:`_told_of_name`).
_NO_TABLE = {"rules": [], "pet_products": []}


@dataclass(frozen=True)
class Given:
    """What a user gave of one person.

    Attributes
    ----------
    images
        Modality -> its image and what is known beside it, not yet read.
    told
        ``age``, ``sex`` and ``group``, where the source tells them.
    subject
        Label of a BIDS folder.
    session
        BIDS label, where the scans lie in sessions.
    simulated
        Whether the source says that all its scans are.
    left_out
        Images of the source that were not used, each with the reason of `relad ingest`.
    """

    images: dict[str, Candidate]
    told: dict[str, Any] = field(default_factory=dict)
    subject: str = "one"
    session: str | None = None
    simulated: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Modality -> name of its file, or of the folder of its series."""
        return {name: _named(candidate).name for name, candidate in self.images.items()}


@dataclass(frozen=True)
class Person:
    """A person's scans, checked and converted.

    Attributes
    ----------
    scans
        Their images, as `relad register` takes them.
    told
        See :class:`Given`; the age is that of the DICOM header where nothing else tells one.
    scanner
        That the T1w names.
    notes
        What `relad ingest` would note of the scans.
    """

    scans: Session
    told: dict[str, Any]
    scanner: str | None
    notes: list[str]


def find(
    t1w: Path,
    flair: Path | None,
    wanted: Iterable[str],
    *,
    subject: str | None = None,
    session: str | None = None,
) -> Given:
    """Find one person's scans; nothing is converted yet.

    Parameters
    ----------
    t1w
        NIfTI or DICOM file, folder of one DICOM series, or a BIDS folder: a dataset, or of it a
        subject's or a session's. Of the latter the FLAIR is taken too.
    flair
        As ``t1w``, but no BIDS folder.
    wanted
        Modalities that are taken from a BIDS folder.
    subject, session
        Labels that choose in a BIDS folder.

    Raises
    ------
    ReladError
        Where there is none, or more than one.
    """
    root = _bids_root(t1w)
    if root is not None:
        if flair is not None:
            raise ReladError(
                "is a BIDS folder, of which the FLAIR is taken too", file=t1w,
                hint="leave out --flair, or give the T1w's file",
            )  # fmt: skip
        inside = t1w.resolve().relative_to(root).parts
        chosen = {"subject": subject, "session": session}
        for (option, asked), part in zip(chosen.items(), inside, strict=False):
            label = part.partition("-")[2]
            if asked not in (None, label):
                raise ReladError(f"is of {part}, and --{option} says {asked}", file=t1w)
            chosen[option] = label
        return _of_bids(root, **chosen, wanted=set(wanted))
    if session is not None:
        raise ReladError("--session chooses in a BIDS folder, which --t1 is not", file=t1w)
    given = {Modality.T1W: t1w} | ({Modality.FLAIR: flair} if flair is not None else {})
    found = Given({name: _candidate(path, name) for name, path in given.items()})
    _require_one_patient(found)
    return found


def _require_one_patient(given: Given) -> None:
    """Refuse DICOM series whose headers name different patients."""
    patients = {c.entry.ptid for c in given.images.values() if c.entry.ptid}
    if len(patients) > 1:
        raise ReladError(
            f"its header names another patient than that of the {Modality.T1W}",
            file=_named(given.images[Modality.FLAIR]),
            hint="give both scans of one person",
        )


def _bids_root(path: Path) -> Path | None:
    """Root of the dataset of which a folder is the whole, a subject or a session; else None."""
    if not path.is_dir():
        return None
    path = path.resolve()
    for prefix, root in (("ses-", path.parent.parent), ("sub-", path.parent)):
        if path.name.startswith(prefix) and bids.is_bids(root):
            return root
    return path if bids.is_bids(path) else None


def _of_bids(root: Path, subject: str | None, session: str | None, wanted: set[str]) -> Given:
    """Scans of one person of a dataset: the earliest session that has all that is wanted.

    Of a session what `relad ingest` keeps of it.
    """
    contents = bids.read(root)
    labels = sorted({c.entry.ptid for c in contents.candidates if c.kind == Modality.T1W})
    if subject is None and len(labels) > 1:
        raise ReladError(
            f"holds {len(labels)} people", file=root, hint=f"choose one by --subject {labels[0]}"
        )
    label = subject or (labels[0] if labels else None)
    of = f"sub-{label}" + (f", ses-{session}" if session else "") if label else "anybody"
    visits: dict[str, list[Candidate]] = defaultdict(list)
    for c in contents.candidates:
        if c.entry.ptid == label and c.kind in wanted and session in (None, c.session):
            visits[c.session or ""].append(c)
    with_t1w = {n: v for n, v in visits.items() if any(c.kind == Modality.T1W for c in v)}
    if not with_t1w:
        raise ReladError(
            f"holds no T1w of {of}", file=root, hint=f"there is {', '.join(labels) or 'nobody'}"
        )
    rules = checks.Rules(_series(), {}, simulated=contents.simulated)
    found: list[tuple[tuple[int, str, str], str, dict[str, Candidate]]] = []
    dropped: list[Row] = []
    for name, candidates in sorted(with_t1w.items(), key=lambda v: _order(wanted, v[0], v[1])):
        images, rows = _kept(candidates, rules)
        dropped += rows
        if Modality.T1W in images:
            found.append((_order(wanted, name, list(images.values())), name, images))
        if wanted <= images.keys():
            break  # no later one is before it
    _, name, images = min(found, key=lambda f: f[0], default=((), "", {}))
    left_out = {row["image_id"]: _reason(row) for row in dropped}
    for kind in sorted({Modality.T1W, *wanted} - images.keys(), reverse=True):
        refused = [c.entry.image_id for v in visits.values() for c in v if c.kind == kind]
        if why := [left_out[i] for i in refused if i in left_out]:
            raise DataError(f"no {kind} of {of} can be used: {'; '.join(why)}", file=root)
    return Given(
        images,
        dict(contents.people.get(str(label), {})),
        str(label),
        name or None,
        contents.simulated,
        tuple(left_out.values()),
    )


@cache
def _series() -> SeriesTable:
    """Rules of labels that relad comes with: a person of no study has none of a study's own."""
    return SeriesTable(load_settings(None, IngestSettings).ingest.series)


def _order(wanted: set[str], name: str, images: Sequence[Candidate]) -> tuple[int, str, str]:
    """Sort key of a session: what it lacks, the day of its T1w, its label."""
    days = [c.entry.acq_date or "9" for c in images if c.kind == Modality.T1W]
    return len(wanted - {str(c.kind) for c in images}), min(days), name


def _kept(
    candidates: Sequence[Candidate], rules: checks.Rules
) -> tuple[dict[str, Candidate], list[Row]]:
    """What `relad ingest` keeps of a session's images, by modality, and rows of the others."""
    task = scans.Task(candidates[0].entry.ptid, tuple(candidates), rules)
    with scratch_folder("relad-predict-") as scratch:  # only what converts is kept
        rows = scans.ingest_subject(task, scratch).rows
    by_id = {c.entry.image_id: c for c in candidates}
    kept = {r["kind"]: by_id[r["image_id"]] for r in rows if r["status"] == "kept"}
    return kept, [r for r in rows if r["status"] != "kept"]


def _reason(row: Row) -> str:
    """A row's image and why it was dropped."""
    name = row["image_id"].rpartition("/")[2]
    return f"{row['image_id']}: {row['reason'].removeprefix(f'{name}: ')}"


def _candidate(path: Path, kind: str) -> Candidate:
    if not path.exists():
        raise ReladError("no such file or folder", file=path)
    files = (path,)
    if path.is_dir():
        found = (f for f in sorted(path.rglob("*")) if f.is_file() and _is_dicom(f))
        files = tuple(f for f in found if not dicom.is_media_directory(f))
        if not files:
            raise ReladError(
                "holds neither a DICOM series nor a BIDS dataset", file=path,
                hint="name the image, or the folder of its DICOM files",
            )  # fmt: skip
    elif not path.name.endswith((".nii", ".nii.gz")) and not _is_dicom(path):
        raise ReladError(
            "is neither NIfTI nor DICOM", file=path, hint="give .nii, .nii.gz or DICOM"
        )
    patient, described = "", None
    if _is_dicom(files[0]):
        try:
            header, _ = dicom.read_header(files[0])
            patient = str(header.get("PatientID") or "")
            described = str(header.get("SeriesDescription") or "")
        except DataError as error:
            raise DataError(error.what, file=files[0], hint=error.hint) from None
    entry, notes = Entry(path.name, patient, description=kind), _told_of_name(path, kind, described)
    return Candidate(entry, files, None, kind, notes=notes)


def _told_of_name(path: Path, kind: str, described: str | None) -> tuple[str, ...]:
    """Note on a scan of whose name `relad ingest` knows that it should not be used.

    The user's choice holds nevertheless: names say many things.

    Parameters
    ----------
    path
        That the user gave.
    kind
        What it was given as.
    described
        Description in the header of DICOM; None for a NIfTI, whose file's name stands for it (of a
        BIDS name acq, rec and ce).
    """
    table = _series()
    if described is not None:
        wrong = table.contradiction("MR", described, kind) if described else None
    else:
        entities, _ = parse(path.name)
        said = [f"{key}-{entities[key]}" for key in ("acq", "rec", "ce") if key in entities]
        named = " ".join(said) if "sub" in entities else path.name.partition(".nii")[0]
        wrong = table.refusal("MR", named)
    return (
        (f"`relad ingest` would not use it: {wrong.removeprefix('not used: ')}",) if wrong else ()
    )


def _is_dicom(file: Path) -> bool:
    with file.open("rb") as head:
        return head.read(132)[128:] == b"DICM" or file.suffix.lower() == ".dcm"


def convert_all(
    given: Given, subject: str, tracers: Mapping[str, Tracer], scratch: Path, mask: Path | None
) -> Person:
    """Check and convert a person's scans into a scratch folder.

    Raises
    ------
    DataError
        Where one cannot be used, or two are one image.
    """
    rules = checks.Rules(SeriesTable(_NO_TABLE), tracers, simulated=given.simulated)
    notes: list[str] = []
    root, told = scratch / "scans", dict(given.told)
    made: dict[str, Path] = {}
    for name, candidate in given.images.items():
        where = _named(candidate)
        try:
            checked = checks.check(_with_endings(candidate, scratch / f"dicom-{name}"), rules)
            voxels = scans.convert_image(checked, None)
            made[name] = root / scans.write_image(checked, voxels, subject, root, None)
            notes += [f"{name} {where.name}: {note}" for note in checked.notes]
        except DataError as error:
            named = Path(error.file or where)
            if named.is_absolute() and named.is_file():
                raise
            what = error.what if named.name == where.name else f"{named.name}: {error.what}"
            raise DataError(what, file=where, hint=error.hint) from None
        age = re.fullmatch(r"0*(\d+)Y", _stated_age(checked))
        if age and name == Modality.T1W and not told.get("age"):
            told["age"] = age[1]
    if len(made) > 1:
        first, second = (load_nifti(path) for path in made.values())
        if first.shape == second.shape and np.array_equal(first.dataobj, second.dataobj):
            raise DataError(
                f"holds the same voxels as the {Modality.T1W}",
                file=_named(given.images[Modality.FLAIR]),
                hint="give the FLAIR of that visit",
            )
    session = Session(given.session, made[Modality.T1W], made.get(Modality.FLAIR), {}, mask)
    return Person(session, told, scanner_of(sidecar(session.t1w)), notes)


def _named(candidate: Candidate) -> Path:
    """The file, or the folder of a series of files."""
    return candidate.files[0] if len(candidate.files) == 1 else candidate.files[0].parent


def _with_endings(candidate: Candidate, scratch: Path) -> Candidate:
    """DICOM under names that end in .dcm, by which `relad ingest` knows it."""
    files = candidate.files
    if not _is_dicom(files[0]) or all(f.name.lower().endswith(".dcm") for f in files):
        return candidate
    scratch.mkdir()
    links = [scratch / f"{number:06d}.dcm" for number in range(len(files))]
    for link, file in zip(links, files, strict=True):
        link.symlink_to(file.resolve())
    entry, session, kind = candidate.entry, candidate.session, candidate.kind
    return Candidate(entry, tuple(links), session, kind, candidate.sidecar)


def _stated_age(checked: Checked) -> str:
    return str(checked.series.header.get("PatientAge") or "") if checked.series else ""


def require_converter(given: Given) -> None:
    """Refuse DICOM where its converter is missing, before anything is read."""
    if any(_is_dicom(c.files[0]) for c in given.images.values()):
        convert.find_dcm2niix()
