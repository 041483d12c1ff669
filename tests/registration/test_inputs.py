"""Which session, which PET, which frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.cohort.frame_times import check_sidecar
from relad.cohort.pairing import PAIR_COLUMNS
from relad.cohort.windows import frames_inside
from relad.errors import DataError
from relad.fileio import write_json, write_table
from relad.registration.inputs import (
    check_tracer,
    choose_frames,
    choose_session,
    durations,
    sidecar,
)
from relad.steps.ingest import ingest
from relad.study.settings import OwnLabels
from tests.helpers import bids_tree
from tests.helpers.settings import ingest_settings, tracer

TRACERS = ingest_settings(
    {
        "tau": tracer("AV1451", aliases=["Flortaucipir"]),
        "tspo": tracer("PBR28", aliases=["[11C]PBR28"]),
    }
).tracers
DERIVATIVES = OwnLabels(None, None)
META = {
    "InjectionStart": 0.0,
    "FrameTimesStart": [4500.0, 4800.0, 5100.0, 5400.0, 5700.0, 6000.0],
    "FrameDuration": [300.0] * 6,
    "ImageDecayCorrected": True,
}


def scan(bids: Path, session: str, suffix: str, meta: dict | None = None) -> None:
    inside = Path("sub-S1", *([f"ses-{session}"] if session else []))
    folder = bids / inside / ("pet" if suffix.endswith("pet") else "anat")
    folder.mkdir(parents=True, exist_ok=True)
    name = "_".join([*inside.parts, suffix])
    (folder / f"{name}.nii.gz").touch()
    write_json(folder / f"{name}.json", meta or {})


def test_the_earliest_session_with_both_is_chosen(tmp_path) -> None:
    for session in ("m120", "m12", "m06", "bl"):
        scan(tmp_path, session, "T1w")
        if session != "bl":
            scan(tmp_path, session, "FLAIR")
    assert choose_session(tmp_path, "S1", TRACERS).name == "m06"
    # Dates, where sidecars state them, go before the names of visits.
    for session, day in (("m120", "2010-01-01"), ("m12", "2012-01-01"), ("m06", "2011-06-01")):
        scan(tmp_path, session, "T1w", {"SourceAcquisitionDate": day})
    assert choose_session(tmp_path, "S1", TRACERS).name == "m120"


def test_pet_is_found_by_its_sidecars_tracer_in_any_spelling(tmp_path) -> None:
    scan(tmp_path, "bl", "T1w")
    scan(tmp_path, "bl", "FLAIR")
    scan(tmp_path, "m12", "trc-late_pet", {"TracerName": "PBR28"})
    scan(tmp_path, "bl", "trc-a_pet", {"TracerName": "[18f]FLORTAUCIPIR"})
    scan(tmp_path, "bl", "trc-b_pet", {"TracerName": "FDG"})
    session = choose_session(tmp_path, "S1", TRACERS)
    assert {tracer: path.name for tracer, path in session.pets.items()} == {
        "tau": "sub-S1_ses-bl_trc-a_pet.nii.gz"
    }


def test_a_session_with_pet_goes_before_an_earlier_one_without(tmp_path) -> None:
    """Partial data: nobody is lost whose T1w is there, and the most complete session is used."""
    scan(tmp_path, "m06", "T1w")
    assert choose_session(tmp_path, "S1", TRACERS).flair is None
    scan(tmp_path, "m12", "T1w")
    scan(tmp_path, "m12", "trc-a_pet", {"TracerName": "PBR28"})
    assert choose_session(tmp_path, "S1", TRACERS).name == "m12"
    scan(tmp_path, "m24", "T1w")
    scan(tmp_path, "m24", "FLAIR")
    assert choose_session(tmp_path, "S1", TRACERS).name == "m24"
    for session in ("m36", "m48"):
        scan(tmp_path, session, "T1w")
        scan(tmp_path, session, "FLAIR")
        scan(tmp_path, session, "trc-a_pet", {"TracerName": "AV1451"})
    chosen = choose_session(tmp_path, "S1", TRACERS)
    assert chosen.name == "m36" and set(chosen.pets) == {"tau"}


def test_pairs_of_ingest_bring_pet_of_another_session(tmp_path) -> None:
    scan(tmp_path, "bl", "T1w")
    scan(tmp_path, "bl", "FLAIR")
    scan(tmp_path, "bl2", "trc-a_pet", {"TracerName": "AV1451"})
    anat, pet = "sub-S1/ses-bl/anat/sub-S1_ses-bl_", "sub-S1/ses-bl2/pet/sub-S1_ses-bl2_trc-a_pet"
    row = {"subject": "S1", "tracer": "tau", "pet": f"{pet}.nii.gz", "gap_days": 20}
    row |= {"t1w": f"{anat}T1w.nii.gz", "flair": f"{anat}FLAIR.nii.gz", "status": "paired"}
    write_table(tmp_path / "pairs.tsv", [row], PAIR_COLUMNS)
    session = choose_session(tmp_path, "S1", TRACERS)
    assert session.name == "bl"
    assert session.pets == {"tau": tmp_path / f"{pet}.nii.gz"}
    assert session.flair is not None


def test_pet_that_pairing_left_out_is_not_taken_from_its_session(tmp_path) -> None:
    for suffix in ("T1w", "FLAIR"):
        scan(tmp_path, "bl", suffix)
    scan(tmp_path, "bl", "trc-AV1451_pet", {"TracerName": "AV1451"})
    assert set(choose_session(tmp_path, "S1", TRACERS).pets) == {"tau"}
    row = {"subject": "S1", "tracer": "tau", "status": "unpaired", "reason": "366 days apart"}
    write_table(tmp_path / "pairs.tsv", [row], PAIR_COLUMNS)
    session = choose_session(tmp_path, "S1", TRACERS)
    assert session.pets == {} and session.flair is not None


def test_a_dataset_without_sessions(tmp_path) -> None:
    scan(tmp_path, "", "FLAIR")
    with pytest.raises(DataError, match="sub-S1 has no session with a T1w"):
        choose_session(tmp_path, "S1", TRACERS)
    scan(tmp_path, "", "T1w")
    session = choose_session(tmp_path, "S1", TRACERS)
    assert session.name is None and session.brain_mask is None
    own = tmp_path / "derivatives" / "synthstrip" / "sub-S1" / "anat"
    own.mkdir(parents=True)
    (own / "sub-S1_desc-brain_mask.nii.gz").touch()
    assert choose_session(tmp_path, "S1", TRACERS).brain_mask is not None


@pytest.mark.parametrize(
    ("masks", "used"),
    [
        (("acq-a_space-MNI152_desc-brain", "acq-a_desc-brain"), "acq-a_desc-brain"),
        (("acq-a_space-MNI152_desc-brain",), None),  # in another space
        (("acq-b_desc-brain",), None),  # of the other T1w
        (("desc-brain",), None),  # of either
    ],
)
def test_the_mask_is_that_of_the_t1w(tmp_path, masks, used) -> None:
    for name in ("acq-a_T1w", "acq-b_T1w"):
        scan(tmp_path, "bl", name)
    folder = tmp_path / "derivatives" / "tool" / "sub-S1" / "ses-bl" / "anat"
    folder.mkdir(parents=True)
    for name in masks:
        (folder / f"sub-S1_ses-bl_{name}_mask.nii.gz").touch()
    other = tmp_path / "derivatives" / "tool" / "sub-S1" / "ses-m12" / "anat"
    other.mkdir(parents=True)
    (other / "sub-S1_ses-m12_acq-a_desc-brain_mask.nii.gz").touch()  # of another session
    found = choose_session(tmp_path, "S1", TRACERS).brain_mask
    assert (found and found.name) == (used and f"sub-S1_ses-bl_{used}_mask.nii.gz")


def own_labels(bids: Path, own: OwnLabels = DERIVATIVES) -> list[str | None]:
    """Label image and table that are chosen for S1, relative to the dataset."""
    session = choose_session(bids, "S1", TRACERS, own)
    files = session.segmentation, session.segmentation_table
    return [str(file.relative_to(bids)) if file else None for file in files]


@pytest.mark.parametrize(("acq", "used"), [("acq-a_", True), ("acq-b_", False), ("", False)])
def test_labels_are_those_of_the_t1w(tmp_path, acq, used) -> None:
    for name in ("acq-a_T1w", "acq-b_T1w"):
        scan(tmp_path, "bl", name)
    anat = tmp_path / "derivatives" / "tool" / "sub-S1" / "ses-bl" / "anat"
    anat.mkdir(parents=True)
    for ending in ("nii.gz", "tsv"):
        (anat / f"sub-S1_ses-bl_{acq}dseg.{ending}").touch()
    assert (own_labels(tmp_path) != [None, None]) == used


def test_labels_of_derivatives_are_those_that_a_table_names(tmp_path) -> None:
    scan(tmp_path, "bl", "T1w")
    assert own_labels(tmp_path) == [None, None]
    root = tmp_path / "derivatives" / "smriprep"
    anat = root / "sub-S1" / "ses-bl" / "anat"
    anat.mkdir(parents=True)
    for part in ("", "space-MNI152NLin6Asym_desc-aparcaseg_", "desc-aseg_", "desc-aparcaseg_"):
        (anat / f"sub-S1_ses-bl_{part}dseg.nii.gz").touch()
    assert own_labels(tmp_path) == [None, None]
    inside = "derivatives/smriprep/sub-S1/ses-bl/anat/sub-S1_ses-bl_"
    (anat / "sub-S1_ses-bl_dseg.tsv").touch()
    assert own_labels(tmp_path) == [f"{inside}dseg.nii.gz", f"{inside}dseg.tsv"]
    for part in ("desc-aseg", "desc-aparcaseg"):  # the second goes before the first
        (root / f"{part}_dseg.tsv").touch()
        table = f"derivatives/smriprep/{part}_dseg.tsv"
        assert own_labels(tmp_path) == [f"{inside}{part}_dseg.nii.gz", table]
    table = OwnLabels(None, str(tmp_path / "mine.tsv"))
    assert own_labels(tmp_path, table)[1] == "mine.tsv"


def test_labels_by_a_pattern_of_the_study(tmp_path) -> None:
    scan(tmp_path, "bl", "T1w")
    pattern = f"{tmp_path}/fs/{{subject}}_{{session}}/mri/aparc+aseg.mgz"
    found = own_labels(tmp_path, OwnLabels(pattern, f"{tmp_path}/lut.txt"))
    assert found == ["fs/S1_bl/mri/aparc+aseg.mgz", "lut.txt"]
    beside_it = own_labels(tmp_path, OwnLabels(f"{tmp_path}/{{subject}}.nii.gz", None))
    assert beside_it == ["S1.nii.gz", "S1.tsv"]


def test_frames_lie_inside_the_window_by_half_at_least() -> None:
    frames = choose_frames(META, 6, (80, 100))
    assert frames.indices == [1, 2, 3, 4]
    assert frames.reference == 3
    assert frames.span == (4800, 6000) and frames.weights == [300] * 4
    # Motion is looked for in all of them.
    assert len(frames.starts) == len(frames.durations) == 6
    assert choose_frames(META, 6, (82, 100)).indices == [1, 2, 3, 4]
    assert choose_frames(META, 6, (83, 100)).indices == [2, 3, 4]
    # Times count from the injection, not from TimeZero.
    assert choose_frames({**META, "InjectionStart": -300.0}, 6, (80, 100)).indices == [0, 1, 2, 3]


def test_a_static_image_is_one_frame() -> None:
    meta = {"InjectionStart": 0, "FrameTimesStart": 4800, "FrameDuration": 1200}
    assert choose_frames(meta, 1, (80, 100)).durations == [1200]
    late = {**meta, "FrameTimesStart": [4890]}  # scans rarely start to the second
    assert choose_frames(late, 1, (80, 100)).starts == [4890]
    long = {**meta, "FrameTimesStart": [3600], "FrameDuration": [3600]}
    with pytest.raises(DataError, match="no frame lies within 80 to 100 min"):
        choose_frames(long, 1, (80, 100))


def test_frames_that_cover_too_little_of_the_window_are_refused() -> None:
    short = {key: value[:2] if isinstance(value, list) else value for key, value in META.items()}
    with pytest.raises(DataError, match="its frames cover 25% of 80 to 100 min after injection"):
        choose_frames(short, 2, (80, 100))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({key: None for key in META}, "does not state FrameTimesStart"),
        ({"FrameTimesStart": "unknown"}, "does not state FrameTimesStart"),
        ({"FrameDuration": None}, "does not state FrameDuration"),
        ({"InjectionStart": "unknown"}, "does not state InjectionStart"),
        ({"FrameDuration": [300.0] * 5}, "5 durations for 6 frames"),
        ({"FrameTimesStart": [t - 4500 for t in META["FrameTimesStart"]]}, "no frame lies within"),
        ({"ImageDecayCorrected": False}, "not corrected for decay"),
        ({"ImageDecayCorrected": "False"}, "not corrected for decay"),
        ({"ImageDecayCorrected": 0}, "ImageDecayCorrected is neither true nor false"),
        ({"FrameDuration": [0.0] * 6}, "duration of 0 s"),
    ],
)
def test_pet_that_cannot_be_timed_is_refused(change: dict, word: str) -> None:
    with pytest.raises(DataError, match=word):
        choose_frames({**META, **change}, 6, (80, 100))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"FrameTimesStart": [4800.0 + 60 * k for k in range(6)]}, "lasts into frame 2"),
        ({"FrameTimesStart": META["FrameTimesStart"][::-1]}, "lasts into frame 2"),
        ({"ScanStart": 3000.0 + 4500}, "counted from the scan's start other frames would be used"),
        ({"ScanStart": [float("nan")]}, "its ScanStart is not a number"),
    ],
)
def test_times_that_ingest_refuses_are_refused(change: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_sidecar({**META, **change}, (80, 100))
    with pytest.raises(DataError, match=said):
        choose_frames({**META, **change}, 6, (80, 100))
    assert choose_frames({**META, "ScanStart": 4500}, 6, (80, 100)).indices == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (
            {"AttenuationCorrection": "none"},
            "for attenuation.* -- .*ingest.overrides",
        ),
        ({"SeriesType": ["GATED", "IMAGE"]}, "gated"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "a projection"),
    ],
)
def test_a_pet_that_ingest_refuses_is_refused(meta: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_tracer(meta, "tau", TRACERS)
    check_tracer({"AttenuationCorrection": "CT"}, "tau", TRACERS)


def test_what_a_person_put_right_in_ingest_is_not_refused_after_it(tmp_path) -> None:
    source = tmp_path / "source"
    pet = {**bids_tree.PET, "AttenuationCorrection": "none"}
    bids_tree.session(source, "A", None, pet)
    say = {"series": "*_pet.nii.gz", "key": "kind", "value": "PET", "why": "the log", "who": "XY"}
    tau = {"tau": tracer("AV1451")}
    rows = ingest(source, tmp_path / "bids", ingest_settings(tau, overrides=[say]))
    (kept,) = [r["output"] for r in rows if r["kind"] == "PET" and r["status"] == "kept"]
    told = sidecar(tmp_path / "bids" / kept)
    assert told["AttenuationCorrection"] == "none"
    check_tracer(told, "tau", TRACERS)


def test_what_two_frames_cover_counts_once() -> None:
    assert frames_inside([4800, 4860, 4920], [300] * 3, (80, 100)) == ([0, 1, 2], 420 / 1200)
    assert frames_inside([4920, 4800, 4800], [300, 300, 1200], (80, 100)) == ([0, 1, 2], 1)
    assert frames_inside([4700, 5000, 5900], [300] * 3, (80, 100)) == ([0, 1], 500 / 1200)


def test_an_image_without_sidecar_says_so() -> None:
    with pytest.raises(DataError, match="no sidecar that times its frames"):
        choose_frames({}, 1, (80, 100))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"InjectionStart": [0, 1]}, "states 2 times of injection"),
        ({"InjectionStart": []}, "states 0 times of injection"),
        ({"InjectionStart": "10:00"}, "does not state InjectionStart"),
        ({"FrameTimesStart": [4800, float("nan")]}, "does not state FrameTimesStart"),
        ({"FrameDuration": [300, 1e308]}, "does not state FrameDuration"),
        ({"FrameDuration": {"a": 1}}, "does not state FrameDuration"),
    ],
)
def test_times_that_are_none_are_refused(change: dict, said: str) -> None:
    meta = {"FrameTimesStart": [4800, 5100], "FrameDuration": [300, 300], "InjectionStart": 0}
    with pytest.raises(DataError, match=said):
        choose_frames({**meta, **change}, 2, (80, 100))


def test_durations_are_of_the_frames_there_are() -> None:
    assert durations({}, 2) is None
    assert durations({"FrameDuration": [1, 2]}, 2) == [1.0, 2.0]
    for wrong in ([1], [1, 0], ["a", "b"], [1, None]):
        with pytest.raises(DataError, match="FrameDuration"):
            durations({"FrameDuration": wrong}, 2)
