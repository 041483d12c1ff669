"""The simulated study as files: what a download holds, and that its truth is true."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from relad import cli
from relad.cohort.phantom import geometry, pet, scanners, study
from relad.cohort.phantom import template as head
from relad.errors import ReladError
from relad.imaging.resample import grid_points, sample
from relad.steps.phantom import simulate
from relad.study.settings import PhantomSettings, typed
from tests.helpers.settings import file_of, tracer
from tests.helpers.settings import study as settings_of

TRACERS = {
    "tau": tracer("AV1451", aliases=["AV-1451"], reference_region="inferior_cerebellar_grey"),
    "tspo": tracer("PBR28", frames_min=[60, 90]),
}
PTID, LABEL = "941_S_0001", "941S0001"


def _settings(subjects: int, scanner: str = "alpha") -> dict:
    entry = {"subjects": subjects, "site": 941, "scanner": scanner}
    cohort = {"role": "train", "source": "phantom", "phantom": entry}
    return settings_of(seed=3, tracers=TRACERS, cohorts={"sim": cohort})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Two subjects, written by two processes through the command line."""
    out = tmp_path_factory.mktemp("phantom") / "sim"
    settings = file_of(_settings(2))
    code = cli.main(["phantom", str(out), "--cohort", "sim", "--jobs", "2", "--settings", settings])
    assert code == 0
    return out


@pytest.fixture(scope="module")
def converted(cohort, tmp_path_factory) -> dict[str, tuple[nib.Nifti1Image, dict]]:
    """The first subject through dcm2niix: series description -> image and sidecar."""
    beside = Path(sys.executable).with_name("dcm2niix")
    program = str(beside) if beside.exists() else shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not installed")
    out = tmp_path_factory.mktemp("nifti")
    subprocess.run(
        [program, "-b", "y", "-z", "n", "-f", "%s", "-o", str(out), str(cohort / "loni" / PTID)],
        check=True, capture_output=True,
    )  # fmt: skip
    found = {}
    for sidecar in out.glob("*.json"):
        about = json.loads(sidecar.read_text())
        assert about["SeriesDescription"] not in found
        image = nib.load(sidecar.with_suffix(".nii"))
        found[about["SeriesDescription"]] = (
            nib.Nifti1Image(image.get_fdata(), image.affine),
            about,
        )
    return found


def _truth(cohort: Path, name: str) -> nib.Nifti1Image:
    return nib.load(cohort / "truth" / f"sub-{LABEL}" / f"sub-{LABEL}_{name}.nii.gz")


def _rows(cohort: Path) -> list[dict[str, str]]:
    with (cohort / "collection.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_collection_has_loni_header_and_lists_what_is_there(cohort):
    header = (cohort / "collection.csv").read_text().splitlines()[0]
    assert header == (
        "Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date,Format,"
        "Downloaded"
    )
    rows = _rows(cohort)
    listed = {row["Image Data ID"] for row in rows}
    on_disk = {path.name for path in (cohort / "loni").glob("*/*/*/I*")}
    assert listed == on_disk and len(rows) == len(listed) == 2 * 6
    assert {row["Modality"] for row in rows} == {"MRI", "PET"}
    month, day, year = map(int, rows[0]["Acq Date"].split("/"))
    assert 1 <= month <= 12 and 1 <= day <= 31 and year > 2000


def test_same_bytes_whatever_the_jobs_and_the_size_of_the_cohort(cohort, tmp_path):
    simulate(tmp_path / "one", "sim", typed(PhantomSettings, _settings(1)), jobs=1)
    for part in (f"loni/{PTID}", f"truth/sub-{LABEL}"):
        first, second = _files(cohort / part), _files(tmp_path / "one" / part)
        assert first.keys() == second.keys() and len(first) > 0
        assert [name for name in first if first[name] != second[name]] == []


def test_every_image_says_that_it_is_simulated_and_is_valid_dicom(cohort):
    seen = set()
    for path in (cohort / "loni").glob("*/*/*/*/*.dcm"):
        assert path.name.startswith(path.parts[-5]) and path.stem.endswith(f"_{path.parts[-2]}")
        image = pydicom.dcmread(path, stop_before_pixels=True)
        assert "SIMULATED" in image.ImageComments
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        assert pydicom.uid.UID(image.SOPInstanceUID).is_valid
        seen.add(image.SOPInstanceUID)
    assert len(seen) == sum(1 for _ in (cohort / "loni").rglob("*.dcm"))


def test_scans_have_orientations_and_voxels_of_their_own(cohort):
    orientations, spacings = {}, set()
    for series in (cohort / "loni" / PTID).glob("*/*/I*"):
        image = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
        orientations[image.SeriesDescription] = np.array(image.ImageOrientationPatient, float)
        spacings.add((*image.PixelSpacing, image.SliceThickness))
    assert np.allclose(orientations["MPRAGE"], [0, 1, 0, 0, 0, -1])
    assert np.allclose(orientations["AV1451 Dynamic"], [1, 0, 0, 0, 1, 0])
    oblique = orientations["Axial T2-FLAIR"]
    assert 0.02 < abs(oblique[5]) < 0.5
    assert len(spacings) >= 4


def test_each_pet_series_becomes_one_dynamic_image(converted):
    for description, seconds in (("AV1451 Dynamic", 300), ("PBR28 Dynamic", 450)):
        image, about = converted[description]
        assert image.shape == (80, 80, 56, 6)
        assert about["FrameDuration"] == [seconds] * 6
        assert about["FrameTimesStart"] == [k * seconds for k in range(6)]
        assert about["Units"] == "Bq/mL"
        assert about["TracerName"] == description.split()[0]
        assert about["ImageDecayCorrected"] is True
    assert set(converted) >= {"MPRAGE", "Axial T2-FLAIR", "3 Plane Localizer", "Field Mapping"}


def test_true_brain_mask_lies_on_the_converted_t1w(cohort, converted):
    mask, (t1w, _) = _truth(cohort, "space-T1w_desc-brain_mask"), converted["MPRAGE"]
    assert mask.shape == t1w.shape and np.allclose(mask.affine, t1w.affine, atol=1e-3)
    brain = np.asarray(mask.dataobj) > 0
    assert 0.9e6 < brain.sum() * np.prod(nib.affines.voxel_sizes(mask.affine)) < 2.3e6
    # Dark CSF and bone surround a bright brain.
    rim = ndimage.binary_dilation(brain, iterations=2) & ~brain
    data = t1w.get_fdata()
    assert data[brain].mean() > 2 * data[rim].mean()


def _at_truth(cohort: Path, image: nib.Nifti1Image, rigid: np.ndarray, shift=(0, 0, 0)):
    """Voxels of a scan where the truth says that each point of the 4 mm MNI grid is."""
    points = _truth(cohort, "from-MNI_to-T1w_points").get_fdata() + np.asarray(shift)
    scanner = geometry.apply(np.asarray(rigid), points)
    data = image.get_fdata().astype(np.float32)
    return geometry.sample([data], image.affine, scanner)[0]


def _on_points(volume: np.ndarray) -> np.ndarray:
    """A volume of the 2 mm MNI grid at the points of the 4 mm grid."""
    points = geometry.Grid(study.POINTS_SHAPE, study.POINTS_AFFINE).points()
    return geometry.sample([volume.astype(np.float32)], head.SUVR_AFFINE, points)[0]


def test_true_transforms_lead_to_the_same_anatomy_in_every_scan(cohort, converted):
    scans = json.loads((cohort / "truth" / f"sub-{LABEL}" / "truth.json").read_text())["scans"]
    grey, white, _ = head.template().tissue_2mm
    inside = _on_points(head.template().inside) > 0.99
    contrast = np.zeros(head.SUVR_SHAPE)
    contrast[head.template().inside] = 0.7 * grey + white
    suvr = _truth(cohort, "trc-tau_space-MNI_desc-noisefree_pet").get_fdata()
    pet_image = converted["AV1451 Dynamic"][0]
    expected = {
        "T1w": (_on_points(contrast), converted["MPRAGE"][0], np.eye(4)),
        "FLAIR": (
            _on_points(contrast > 0.4),
            converted["Axial T2-FLAIR"][0],
            scans["FLAIR"]["rigid_T1w_to_scan"],
        ),
    }
    for k in (1, 4):
        expected[f"tau frame {k}"] = (
            _on_points(ndimage.gaussian_filter(suvr, 1.4)),
            nib.Nifti1Image(pet_image.get_fdata()[..., k], pet_image.affine),
            scans["tau"]["rigid_T1w_to_frame"][k],
        )
    for name, (truth, image, rigid) in expected.items():

        def agreement(shift, truth=truth, image=image, rigid=rigid):
            return np.corrcoef(truth[inside], _at_truth(cohort, image, rigid, shift)[inside])[0, 1]

        here = agreement((0, 0, 0))
        assert here > (0.5 if name == "FLAIR" else 0.8), name
        for shift in 3 * np.vstack([np.eye(3), -np.eye(3)]):
            assert agreement(shift) < here, (name, shift)


def test_lesions_are_bright_on_flair_and_faint_on_t1w(cohort, converted):
    scans = json.loads((cohort / "truth" / f"sub-{LABEL}" / "truth.json").read_text())["scans"]
    base = head.template()
    white = np.zeros(head.SUVR_SHAPE)
    white[base.inside] = (base.tissue_2mm[1] > 0.95) & (base.white_share[0] > 0.9)
    white = _on_points(white) > 0.99
    lesion = _on_points(_truth(cohort, "space-MNI_desc-lesion_mask").get_fdata()) > 0.99
    flair = _at_truth(cohort, converted["Axial T2-FLAIR"][0], scans["FLAIR"]["rigid_T1w_to_scan"])
    t1w = _at_truth(cohort, converted["MPRAGE"][0], np.eye(4))
    assert lesion.sum() > 10
    assert flair[lesion].mean() > 1.4 * flair[white & ~lesion].mean()
    assert 0.6 < t1w[lesion].mean() / t1w[white & ~lesion].mean() < 0.95


def test_frames_in_the_window_give_the_true_suvr_and_all_frames_do_not(cohort, converted):
    scans = json.loads((cohort / "truth" / f"sub-{LABEL}" / "truth.json").read_text())["scans"]
    image = converted["AV1451 Dynamic"][0]
    suvr = _on_points(
        ndimage.gaussian_filter(
            _truth(cohort, "trc-tau_space-MNI_desc-noisefree_pet").get_fdata(), 6.5 / 2.355 / 2
        )
    )
    frames = [
        _at_truth(cohort, nib.Nifti1Image(image.get_fdata()[..., k], image.affine), rigid)
        for k, rigid in enumerate(scans["tau"]["rigid_T1w_to_frame"])
    ]
    base = head.template()
    region = {}
    for name in ("inferior_cerebellar_grey", "lateral_temporal", "parietal"):
        share = np.zeros(head.SUVR_SHAPE)
        share[base.inside] = base.grey_share[head.GREY_REGIONS.index(name)] > 0.9
        region[name] = _on_points(share) > 0.9
    reference = region.pop("inferior_cerebellar_grey")
    for mask in region.values():
        truth = suvr[mask].mean() / suvr[reference].mean()
        right = np.mean(frames[1:5], axis=0)
        assert right[mask].mean() / right[reference].mean() == pytest.approx(truth, rel=0.05)
        early = frames[0]
        assert abs(early[mask].mean() / early[reference].mean() / truth - 1) > 0.05


def test_what_anatomy_determines_lies_where_the_scan_does(cohort, converted):
    """It is a scan of the same head without noise, and without what no MRI tells."""
    known = _truth(cohort, "trc-tau_desc-predictable_pet")
    image = converted["AV1451 Dynamic"][0]
    points = grid_points(known.shape, known.affine)
    window = np.mean([sample(image.get_fdata()[..., k], image.affine, points) for k in range(1, 5)],
                     axis=0)  # fmt: skip
    brain = known.get_fdata() > 0.7
    assert brain.mean() > 0.1
    assert np.corrcoef(window[brain], known.get_fdata()[brain])[0, 1] > 0.8
    away = sample(window, known.affine, points + np.array([0, 0, 9.0]))
    assert np.corrcoef(away[brain], known.get_fdata()[brain])[0, 1] < 0.6


def test_what_anatomy_determines_is_in_the_pose_of_the_middle_frame(tmp_path, monkeypatch):
    settings = typed(PhantomSettings, _settings(1))
    plan = study.Plan(settings.seed, "sim", scanners.scanner("alpha"), settings.tracers)
    visit, asked = study.Study(plan, PTID), []
    monkeypatch.setattr(study.pet, "scan", lambda *_: [np.ones((1, 1, 1))] * 6)
    monkeypatch.setattr(study.dicom, "write_pet", lambda *_: None)

    def noise_free(body, image, tomograph, grid, pose):
        asked.append((image, pose, grid))
        return np.linspace(0, 3, np.prod(grid.shape), dtype=np.float32).reshape(grid.shape)

    monkeypatch.setattr(study.pet, "noise_free", noise_free)
    poses = visit._pet(tmp_path, tmp_path, "tau", 0)
    ((image, pose, grid),) = asked
    assert [np.array_equal(pose, each) for each in poses] == [False] * 3 + [True] + [False] * 2
    rng = visit._stream("tau")
    truth = pet.uptake("tau", "inferior_cerebellar_grey", visit.brain, visit.disease, rng)
    assert np.array_equal(image, truth.predictable)
    written = tmp_path / f"sub-{LABEL}_trc-tau_desc-predictable_pet"
    np.testing.assert_allclose(nib.load(f"{written}.nii.gz").affine, grid.affine)
    about = json.loads(Path(f"{written}.json").read_text())
    middle = pet.frames((80, 100))[3]
    assert about["FrameTimesStart"] == [middle.start_s] == [90 * 60.0]
    assert about["FrameDuration"] == [middle.duration_s] == [300.0]


def test_other_scanner_makes_other_headers(tmp_path):
    settings = _settings(1, scanner="beta")
    settings["tracers"] = {"tau": TRACERS["tau"]}
    simulate(tmp_path / "sim", "sim", typed(PhantomSettings, settings))
    rows = _rows(tmp_path / "sim")
    assert not rows[0]["Image Data ID"].startswith("I")
    pet = next(row for row in rows if row["Modality"] == "PET")
    folder = next((tmp_path / "sim" / "loni").glob(f"*/*/*/I{pet['Image Data ID']}"))
    image = pydicom.dcmread(next(folder.iterdir()), stop_before_pixels=True)
    assert image.Manufacturer == "GE MEDICAL SYSTEMS" and image.DecayCorrection == "ADMIN"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cohorts": {}}, "no cohort 'sim' of the source 'phantom' -- simulated cohorts: none"),
        ({"cohorts": {"sim": {"source": "loni"}}}, "no cohort 'sim' of the source 'phantom'"),
        ({"tracers": {"fdg": tracer("FDG")}}, "no phantom is known for the tracers"),
        (
            {"cohorts": {"sim": {"source": "phantom", "phantom": {
                "subjects": 1, "site": 1, "scanner": "gamma"}}}},
            "unknown scanner 'gamma'",
        ),
    ],
)  # fmt: skip
def test_bad_settings_are_told_in_one_line(tmp_path, change, message):
    with pytest.raises(ReladError, match=message):
        simulate(tmp_path / "out", "sim", typed(PhantomSettings, {**_settings(1), **change}))
    assert not (tmp_path / "out").exists()
