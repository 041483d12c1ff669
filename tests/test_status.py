"""What data are, and whether they can be used, travels with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relad.errors import DataError, ReladError
from relad.fileio import read_json, write_json
from relad.imaging.nifti import save_nifti
from relad.status import (
    Kind,
    Modality,
    ScanStatus,
    State,
    SubjectStatus,
    is_simulated,
    kind_of,
    note_of,
)


def subject(label: str = "S1", *, mri: bool = False, pet: bool = False) -> SubjectStatus:
    return SubjectStatus(
        label,
        session="bl",
        mri={m: ScanStatus(State.OK, simulated=mri) for m in Modality},
        pet={"tau": ScanStatus(State.OK, simulated=pet, numbers={"coverage": 0.9})},
        numbers={"brain_volume_ml": 1400.0},
        inputs={"T1w": "sub-S1/anat/sub-S1_T1w.nii.gz"},
    )


@pytest.mark.parametrize(
    ("mri", "pet", "kind"),
    [
        (False, False, Kind.REAL),
        (False, True, Kind.HYBRID),
        (True, True, Kind.SIMULATED),
        (True, False, Kind.SIMULATED),
    ],
)
def test_a_subject_is_what_its_scans_are(mri: bool, pet: bool, kind: Kind) -> None:
    assert subject(mri=mri, pet=pet).kind is kind
    assert bool(kind.note) == (kind is not Kind.REAL)


def test_the_note_names_each_kind_once_and_nothing_of_real_data() -> None:
    assert note_of([Kind.REAL, Kind.REAL]) == ""
    kinds = [Kind.SIMULATED, Kind.REAL, Kind.HYBRID, Kind.SIMULATED]
    assert note_of(kinds) == (
        "REAL MRI, SIMULATED PET; SIMULATED DATA (digital phantoms, no patients)"
    )


def test_what_is_made_of_several_data_is_the_least_real_of_them() -> None:
    assert Kind.of_parts([Kind.REAL, Kind.HYBRID]) is Kind.HYBRID
    assert Kind.of_parts([Kind.SIMULATED, Kind.REAL, Kind.HYBRID]) is Kind.SIMULATED
    assert Kind.of_parts([Kind.REAL_FROM_HYBRID, Kind.REAL]) is Kind.HYBRID
    assert Kind.of_parts([Kind.HYBRID_FROM_SIMULATED]) is Kind.SIMULATED


PHANTOMS, TRAINED = Kind.SIMULATED.note, "METHODS TRAINED ON "


@pytest.mark.parametrize(
    ("people", "learnt", "kind", "note"),
    [
        (Kind.REAL, Kind.REAL, Kind.REAL, ""),
        (Kind.REAL, Kind.HYBRID, "real, learnt from hybrid", f"{TRAINED}REAL MRI, SIMULATED PET"),
        (Kind.REAL, Kind.SIMULATED, "real, learnt from simulated", f"{TRAINED}{PHANTOMS}"),
        (Kind.HYBRID, Kind.REAL, Kind.HYBRID, Kind.HYBRID.note),
        (Kind.HYBRID, Kind.HYBRID, Kind.HYBRID, Kind.HYBRID.note),
        (
            Kind.HYBRID,
            Kind.SIMULATED,
            "hybrid, learnt from simulated",
            f"REAL MRI, SIMULATED PET; {TRAINED}{PHANTOMS}",
        ),
        (Kind.SIMULATED, Kind.REAL, Kind.SIMULATED, PHANTOMS),
        (Kind.SIMULATED, Kind.SIMULATED, Kind.SIMULATED, PHANTOMS),
    ],
)
def test_people_are_told_from_less_real_ones_that_methods_learnt_from(
    people: Kind, learnt: Kind, kind: str, note: str
) -> None:
    assert Kind.of_results(people, learnt) == kind
    assert Kind.of_results(people, learnt).note == note


def test_people_of_different_kinds_are_no_cohort() -> None:
    assert kind_of([subject("A", pet=True), subject("B", pet=True)]) is Kind.HYBRID
    with pytest.raises(ReladError, match=r"hybrid: A; real: B\) -- make a cohort of each"):
        kind_of([subject("A", pet=True), subject("B")])


def test_a_status_survives_its_file(tmp_path: Path) -> None:
    status = subject(pet=True)
    status.pet["tau"].exclude(["it is <b>off</b>", "and short"])
    status.write(tmp_path)
    again = SubjectStatus.read(tmp_path)
    assert again == status
    assert again.pet["tau"].state is State.EXCLUDED
    assert again.pet["tau"].reason == "it is <b>off</b>; and short"
    assert read_json(tmp_path / "status.json")["kind"] == "hybrid"


def test_a_status_of_another_version_is_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "status.json", {"subject": "S1", "status": "ok", "simulated": True})
    with pytest.raises(DataError, match=r"status\.json: is no status of a subject .*run its step"):
        SubjectStatus.read(tmp_path)


def test_excluding_a_subject_excludes_its_t1w_and_tells_once() -> None:
    status = subject()
    status.exclude("no head")
    assert not status.ok and status.mri["T1w"].state is State.EXCLUDED
    assert list(status.problems()) == [(State.EXCLUDED, "sub-S1: excluded: no head")]
    nothing = subject()
    nothing.pet["tau"].exclude([])
    assert nothing.ok and nothing.pet["tau"].ok and not list(nothing.problems())


@pytest.mark.parametrize(
    ("sidecar", "simulated"),
    [
        ({"ManufacturersModelName": "SIMULATED alpha 3T", "Simulated": False}, True),
        ({"ImageComments": "simulated data: digital phantom"}, True),
        ({"StudyDescription": "SIMULATED"}, True),
        ({"ManufacturersModelName": "Prisma", "ImageComments": "simulation of nothing"}, False),
        ({"ProtocolName": "SIMULATED"}, False),
    ],
)
def test_what_a_converter_keeps_of_a_simulators_header_marks_a_scan(
    tmp_path: Path, sidecar: dict, simulated: bool
) -> None:
    """As of phantoms' DICOM that was turned into BIDS by others."""
    image = tmp_path / "T1w.nii.gz"
    save_nifti(image, np.random.default_rng(0).random((4, 5, 6), dtype=np.float32), np.eye(4))
    write_json(tmp_path / "T1w.json", sidecar)
    assert is_simulated(image) is simulated


def test_the_mark_of_a_scan_is_read_from_sidecar_or_header(tmp_path: Path) -> None:
    image = tmp_path / "pet.nii.gz"
    data = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    save_nifti(image, data, np.eye(4))
    assert not is_simulated(image)
    write_json(tmp_path / "pet.json", {"Simulated": True})
    assert is_simulated(image)
    write_json(tmp_path / "pet.json", {"Simulated": False})
    save_nifti(image, data, np.eye(4), note=f"{Kind.SIMULATED.mark}, source image I1")
    assert is_simulated(image)  # one of the two is enough: a mark is easily lost, never won
