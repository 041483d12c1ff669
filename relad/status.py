"""What a datum is and whether it can be used: facts that travel with it, from scan to table.

A scan's mark lies in its sidecar and in its header; a subject's status.json says which of its scans
are simulated; a packed cohort, a model, a table of metrics and every table and figure carry the
:class:`Kind` of what they were made from. Nothing asks the configuration for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from relad.errors import ReladError, refuse_machine_failure
from relad.fileio import beside, content_of, read_json, read_object, write_json


class Modality(StrEnum):
    """MRI that methods are given, by its BIDS suffix."""

    T1W = "T1w"
    FLAIR = "FLAIR"


#: Between the kind of people and the less real one that methods learnt from.
_LEARNT = ", learnt from "


class Kind(StrEnum):
    """What data are; ``hybrid`` is simulated PET of people whose MRI is real.

    What was measured of people by methods that learnt from less real ones is of a kind of its own.
    """

    REAL = "real"
    HYBRID = "hybrid"
    SIMULATED = "simulated"
    REAL_FROM_HYBRID = "real, learnt from hybrid"
    REAL_FROM_SIMULATED = "real, learnt from simulated"
    HYBRID_FROM_SIMULATED = "hybrid, learnt from simulated"

    @classmethod
    def of_scans(cls, scans: Iterable[tuple[str, bool]]) -> Kind:
        """Kind of (modality or "PET", is it simulated) of some scans, of a person or a cohort."""
        marked = {modality in list(Modality) for modality, simulated in scans if simulated}
        return cls.SIMULATED if True in marked else cls.HYBRID if marked else cls.REAL

    @classmethod
    def of_parts(cls, kinds: Iterable[Kind]) -> Kind:
        """Kind of what was made from several data: the least real of them."""
        parts = (cls(part) for kind in kinds for part in kind.split(_LEARNT))
        return max(parts, key=[cls.REAL, cls.HYBRID, cls.SIMULATED].index)

    @classmethod
    def of_results(cls, people: Kind, learnt: Kind) -> Kind:
        """Kind of what was measured of people, by methods that learnt from data of a kind."""
        if cls.of_parts([people, learnt]) is people:
            return people
        return cls(f"{people}{_LEARNT}{learnt}")

    @property
    def note(self) -> str:
        """What must stand on the face of all that shows such data; empty for real ones."""
        people, learnt, kind = self.partition(_LEARNT)
        if learnt:
            notes = Kind(people).note, f"METHODS TRAINED ON {Kind(kind).note}"
            return "; ".join(filter(None, notes))
        return {
            Kind.REAL: "",
            Kind.HYBRID: "REAL MRI, SIMULATED PET",
            Kind.SIMULATED: "SIMULATED DATA (digital phantoms, no patients)",
        }[self]

    @property
    def mark(self) -> str:
        """The note in the few characters of a NIfTI header."""
        return self.note.partition(" (")[0]


def note_of(kinds: Iterable[Kind]) -> str:
    """Note on what shows data of several kinds: each once."""
    return "; ".join(dict.fromkeys(kind.note for kind in sorted(kinds) if kind.note))


#: What everything that synthesises PET, or is synthetic, says of its use.
RESEARCH_ONLY = (
    "Research use only. This is no medical device: not for diagnosis, nor for decisions about "
    "anybody's care."
)
#: Key of a sidecar that marks its image as simulated.
SIMULATED_KEY = "Simulated"

#: Keys of DICOM headers and of the sidecars made of them, in which a simulator says so.
_TELLING = (
    *("Manufacturer", "ManufacturerModelName", "ManufacturersModelName", "InstitutionName"),
    *("PatientComments", "ImageComments", "StudyDescription", "SeriesDescription"),
)


def says_simulated(told: Mapping[str, Any]) -> bool:
    """Whether a sidecar or a DICOM header (what has ``get``) says that its scan is simulated."""
    if told.get(SIMULATED_KEY) is True:
        return True
    return any("SIMULATED" in str(told.get(key, "")).upper() for key in _TELLING)


def is_simulated(image: Path) -> bool:
    """Whether a NIfTI image says that it is simulated, in its sidecar or in its header.

    Raises
    ------
    DataError
        Where the sidecar is not valid JSON.
    """
    import nibabel as nib

    sidecar = beside(image, ".json")
    told = read_json(sidecar) if sidecar.exists() else {}
    if isinstance(told, dict) and says_simulated(told):
        return True
    try:
        description = bytes(nib.load(image).header["descrip"])
    except Exception as error:  # a format without one, or damage: who reads the voxels says so
        refuse_machine_failure(error, image)
        return False
    return b"SIMULATED" in description


class State(StrEnum):
    """Whether a scan, or a subject, can be used."""

    OK = "ok"
    MISSING = "missing"
    EXCLUDED = "excluded"


@dataclass
class ScanStatus:
    """One scan of a subject.

    Attributes
    ----------
    state, reason
        ``reason`` says why it is not ``ok``.
    simulated
        Whether the scan says so of itself.
    numbers
        What was measured of it, by name.
    """

    state: State
    reason: str | None = None
    simulated: bool = False
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.state is State.OK

    @property
    def mark(self) -> str:
        """For the header of what is made of this scan; empty where the scan is real."""
        return Kind.SIMULATED.mark if self.simulated else ""

    def exclude(self, reasons: Iterable[str]) -> None:
        """Exclude the scan for these reasons, if there are any."""
        if said := "; ".join(reasons):
            self.state, self.reason = State.EXCLUDED, said


@dataclass
class SubjectStatus:
    """One subject on its way to the grid, as ``status.json`` has it.

    Attributes
    ----------
    subject, session
        Labels without ``sub-`` and ``ses-``.
    state, reason
        ``excluded`` with its T1w, to which all else is registered.
    mri, pet
        Scans by modality and by tracer id.
    inputs
        Image -> file it was read from.
    numbers
        What was measured of the MRI and the brain mask, by name.
    brain_mask_from
        Where the brain mask comes from.
    segmentation
        The person's own labels; what may be wrong with them concerns what is made of them alone.
    override
        What a person decided by hand, where one did: ``decision``, ``who``, ``why``, and ``note``,
        which says it all in words.
    """

    subject: str
    session: str | None = None
    state: State = State.OK
    reason: str | None = None
    mri: dict[str, ScanStatus] = field(default_factory=dict)
    pet: dict[str, ScanStatus] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    brain_mask_from: str | None = None
    segmentation: ScanStatus = field(
        default_factory=lambda: ScanStatus(State.MISSING, "there is no segmentation of this person")
    )
    override: dict[str, str] | None = None

    @property
    def ok(self) -> bool:
        return self.state is State.OK

    @property
    def scans(self) -> dict[str, ScanStatus]:
        return {**self.mri, **self.pet}

    @property
    def kind(self) -> Kind:
        """Told by the scans there are, usable or not."""
        return Kind.of_scans((name, scan.simulated) for name, scan in self.scans.items())

    def exclude(self, reason: str) -> None:
        """Exclude the subject with its T1w."""
        self.state, self.reason = State.EXCLUDED, reason
        self.mri[Modality.T1W].exclude([reason])

    def problems(self) -> Iterator[tuple[State, str]]:
        """Yield the state and a line of whatever cannot be used."""
        if not self.ok:
            yield self.state, f"sub-{self.subject}: excluded: {self.reason}"
            return
        for name, scan in self.scans.items():
            if not scan.ok:
                yield scan.state, f"sub-{self.subject}: {name} {scan.state}: {scan.reason}"
        own = self.segmentation
        if own.state is State.EXCLUDED:
            yield own.state, f"sub-{self.subject}: segmentation {own.state}: {own.reason}"

    def as_dict(self) -> dict[str, Any]:
        """Content of ``status.json``."""

        def entry(scan: ScanStatus) -> dict[str, Any]:
            facts = {"status": scan.state, "reason": scan.reason, "simulated": scan.simulated}
            return {**facts, **scan.numbers}

        return {
            "subject": self.subject,
            "session": self.session,
            "status": self.state,
            "reason": self.reason,
            "kind": self.kind,
            "mri": {name: entry(scan) for name, scan in self.mri.items()},
            "tracers": {name: entry(scan) for name, scan in self.pet.items()},
            "inputs": self.inputs,
            "qc": self.numbers,
            "brain_mask_from": self.brain_mask_from,
            "segmentation": entry(self.segmentation),
            "override": self.override,
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> SubjectStatus:
        """Inverse of :meth:`as_dict`."""

        def scan(entry: dict[str, Any]) -> ScanStatus:
            numbers = dict(entry)
            facts = [numbers.pop(key) for key in ("status", "reason", "simulated")]
            return ScanStatus(State(facts[0]), facts[1], facts[2], numbers)

        if not isinstance(told["subject"], str):
            raise TypeError(f"its subject is {told['subject']!r}")
        return cls(
            subject=told["subject"],
            session=told["session"],
            state=State(told["status"]),
            reason=told["reason"],
            mri={name: scan(entry) for name, entry in told["mri"].items()},
            pet={name: scan(entry) for name, entry in told["tracers"].items()},
            inputs=told["inputs"],
            numbers=told["qc"],
            brain_mask_from=told["brain_mask_from"],
            segmentation=scan(told["segmentation"]),
            override=told.get("override"),
        )

    def write(self, folder: Path) -> None:
        write_json(folder / "status.json", self.as_dict())

    @classmethod
    def read(cls, folder: Path) -> SubjectStatus:
        """Read ``status.json`` of a folder.

        Raises
        ------
        ReladError
            Where there is none, or it is not one of this version's.
        """
        file = folder / "status.json"
        told = read_object(file)
        with content_of(file, "status of a subject", hint="run its step again"):
            return cls.of(told)


def kind_of(statuses: Iterable[SubjectStatus]) -> Kind:
    """Kind of a cohort of subjects, all of whom must be of one.

    Raises
    ------
    ReladError
        Naming people of each kind: their numbers must not be averaged.
    """
    people: dict[Kind, list[str]] = {}
    for status in statuses:
        people.setdefault(status.kind, []).append(status.subject)
    if len(people) > 1:
        told = "; ".join(f"{kind}: {', '.join(who[:3])}" for kind, who in sorted(people.items()))
        raise ReladError(
            f"people of different kinds of data stand in one cohort ({told})",
            hint="make a cohort of each",
        )
    return next(iter(people), Kind.REAL)
