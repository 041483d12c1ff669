"""A simulated subject from DICOM to SUVR, against the simulation's truth; and what is excluded."""

from __future__ import annotations

import copy
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from relad import cli
from relad.cohort.phantom import scanners
from relad.cohort.phantom import template as head
from relad.cohort.phantom.pet import AROUND_UPTAKE
from relad.fileio import read_json, write_json, write_table
from relad.imaging import atlas
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import FWHM_PER_SIGMA, grid_points, limit_resolution, sample
from relad.registration import engine
from relad.registration.transforms import MniToT1w, names, pet_names, read_affine
from relad.status import is_simulated
from relad.study import config, paths
from tests.helpers.settings import file_of

LABEL = "941S0001"
#: Bounds that the registration must keep on a phantom.
RIGID_MEAN_MM = 1.0
MNI_MEAN_MM, MNI_P95_MM = 2.5, 5.0
MASK_DICE = 0.95
REGION_SUVR = 0.08  # relative, of each region's mean
BIAS_SUVR = 0.03  # relative, averaged over the regions


@dataclass(frozen=True)
class Study:
    raw: Path
    bids: Path
    registered: Path
    normalized: Path
    settings: dict

    @property
    def truth(self) -> Path:
        return self.raw / "truth" / f"sub-{LABEL}"

    def status(self, folder: Path | None = None) -> dict:
        return read_json((folder or self.registered) / "status.json")


def step(name: str, *arguments: object, settings: dict) -> None:
    words = [name, *map(str, arguments), "--settings", file_of(settings)]
    assert cli.main(words) == 0, words


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """One phantom through the command lines. Its PET of TSPO has lost its timing."""
    root = tmp_path_factory.mktemp("study")
    settings = copy.deepcopy(config.load())
    settings["cohorts"] = {"sim": settings["cohorts"]["sim-train"]}
    settings["cohorts"]["sim"]["phantom"]["subjects"] = 1
    settings["registration"]["to_mni"] = "syn"
    settings["grid"] = {"voxel_mm": 4.0, "shape": [40, 48, 40], "deform": True}
    made = Study(root / "raw", root / "bids", root / "registered", root / "normalized", settings)
    step("phantom", made.raw, "--cohort", "sim", settings=settings)
    step("ingest", made.raw, made.bids, settings=settings)
    (sidecar,) = made.bids.glob("**/*_trc-PBR28_pet.json")
    write_json(sidecar, {**read_json(sidecar), "FrameTimesStart": "unknown"})
    write_labels(made)
    engine.configure(1, 0)
    step("register", made.bids, made.registered, "--subject", LABEL, settings=settings)
    known = ("--subject", LABEL, "--truth", made.raw / "truth")
    step("normalize", made.registered, made.normalized, *known, settings=settings)
    return made


def write_labels(study: Study) -> None:
    """Labels of the left and the right brain in derivatives, on a conformed grid (LIA)."""
    mask = nib.load(study.truth / f"sub-{LABEL}_space-T1w_desc-brain_mask.nii.gz")
    (t1w,) = study.bids.glob("**/*_T1w.nii.gz")
    affine = np.array([[-2.0, 0, 0, 130], [0, 0, 2, -140], [0, -2, 0, 125], [0, 0, 0, 1]])
    points = grid_points((128, 128, 128), affine)
    brain = sample(np.asarray(mask.dataobj, np.float32), mask.affine, points) > 0.5
    tissue = sample(nib.load(t1w).get_fdata(dtype=np.float32), nib.load(t1w).affine, points)
    labels = np.digitize(tissue, np.quantile(tissue[brain], (0.15, 0.6))) + 1
    side = points[..., 0] > points[brain][:, 0].mean()
    anat = study.bids / "derivatives" / "smriprep" / f"sub-{LABEL}" / "ses-bl" / "anat"
    anat.mkdir(parents=True)
    image = np.where(brain, labels + 10 * side, 0).astype(np.int16)
    save_nifti(anat / f"sub-{LABEL}_ses-bl_desc-aparcaseg_dseg.nii.gz", image, affine)
    names = ["csf", "grey", "white"]
    rows = [f"{i + 10 * j + 1}\t{'LR'[j]}-{n}" for j in (0, 1) for i, n in enumerate(names)]
    table = anat.parents[2] / "desc-aparcaseg_dseg.tsv"
    table.write_text("\n".join(["index\tname", *rows, ""]))


@pytest.fixture(scope="module")
def brain_points(study) -> np.ndarray:
    """Every 50th voxel (n, 3) of the true brain, in mm of the T1w."""
    mask = nib.load(study.truth / f"sub-{LABEL}_space-T1w_desc-brain_mask.nii.gz")
    inside = np.argwhere(np.asarray(mask.dataobj) > 0)[::50]
    return apply_affine(mask.affine, inside.astype(float))


def distance(found: np.ndarray, true: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(apply_affine(found, points) - apply_affine(true, points), axis=1)


def test_flair_to_t1w(study, brain_points) -> None:
    found = read_affine(study.registered / names(LABEL)["flair_to_t1w"])
    true = np.array(read_json(study.truth / "truth.json")["scans"]["FLAIR"]["rigid_T1w_to_scan"])
    assert distance(found, true, brain_points).mean() < RIGID_MEAN_MM


@pytest.mark.parametrize("tracer", ["tau", "amyloid"])
def test_every_pet_frame_to_t1w(study, brain_points, tracer: str) -> None:
    files = pet_names(LABEL, tracer)
    to_pet = read_affine(study.registered / files["pet_to_t1w"])
    true = read_json(study.truth / "truth.json")["scans"][tracer]["rigid_T1w_to_frame"]
    frames = read_json(study.registered / files["motion"])["frames"]
    assert [frame["index"] for frame in frames] == list(range(len(true)))
    inside = [frame["index"] for frame in frames if frame["in_window"]]
    assert inside == study.status()["tracers"][tracer]["frames"] == [1, 2, 3, 4]
    for frame in frames:  # the first of which looks like perfusion
        moved = np.array(frame["reference_to_frame_ras_mm"])
        error = distance(moved @ to_pet, np.array(true[frame["index"]]), brain_points)
        assert error.mean() < RIGID_MEAN_MM, (frame["index"], error.mean())


def test_t1w_to_mni(study) -> None:
    file = nib.load(study.truth / f"sub-{LABEL}_from-MNI_to-T1w_points.nii.gz")
    true, shape = file.get_fdata(), file.shape[:3]
    brain = atlas.brain_mask(shape, file.affine)
    grid = grid_points(shape, file.affine)
    found = MniToT1w(study.registered, LABEL)(grid)
    error = np.linalg.norm(found - true, axis=-1)[brain]
    assert error.mean() < MNI_MEAN_MM, error.mean()
    assert np.percentile(error, 95) < MNI_P95_MM, np.percentile(error, 95)
    by_affine = MniToT1w(study.registered, LABEL)(grid, deform=False)
    assert error.mean() < 0.6 * np.linalg.norm(by_affine - true, axis=-1)[brain].mean()


def test_the_brain_mask(study) -> None:
    true = nib.load(study.truth / f"sub-{LABEL}_space-T1w_desc-brain_mask.nii.gz")
    found = nib.load(study.registered / names(LABEL)["brain_mask"])
    np.testing.assert_allclose(found.affine, true.affine, atol=1e-4)
    a, b = (np.asarray(image.dataobj) > 0 for image in (found, true))
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > MASK_DICE


def test_the_persons_own_labels_go_along(study) -> None:
    """As they lie: later steps need the registered folder alone."""
    (source,) = study.bids.glob("**/*_dseg.nii.gz")
    given = nib.load(source)
    kept = nib.load(study.registered / names(LABEL)["segmentation"])
    np.testing.assert_array_equal(np.asarray(kept.dataobj), np.asarray(given.dataobj))
    np.testing.assert_allclose(kept.affine, given.affine, atol=1e-4)
    table = (study.registered / names(LABEL)["segmentation_table"]).read_text()
    assert table.startswith("index\tname\n1\tL-csf\n")
    status = study.status(study.normalized)
    assert status["segmentation"]["status"] == "ok"
    assert status["segmentation"]["in_brain"] > 0.97
    sha = hashlib.sha256(source.read_bytes()).hexdigest()
    assert status["segmentation"]["labels_sha256"] == sha
    assert status["inputs"]["segmentation"] == source.relative_to(study.bids).as_posix()
    assert status["inputs"]["segmentation_table"].endswith("smriprep/desc-aparcaseg_dseg.tsv")


def size_of(study: Study) -> float:
    """Size of the person's brain relative to the template's."""
    file = nib.load(study.truth / f"sub-{LABEL}_from-MNI_to-T1w_points.nii.gz")
    points, step = file.get_fdata(), file.affine[0, 0]
    slopes = np.stack(np.gradient(points, step, axis=(0, 1, 2)), axis=-1)[8:-8, 8:-8, 8:-8]
    return float(np.median(np.abs(np.linalg.det(slopes))) ** (1 / 3))


@pytest.mark.parametrize("tracer", ["tau", "amyloid"])
def test_suvr_of_every_region(study, tracer: str) -> None:
    """Against the noise-free truth in its surroundings, blurred as scanner and grids blur."""
    name = f"sub-{LABEL}_trc-{tracer}_space-MNI_desc-noisefree_pet.nii.gz"
    file = nib.load(study.truth / name)
    pet = scanners.scanner(study.settings["cohorts"]["sim"]["phantom"]["scanner"]).pet
    # Frames are interpolated twice, from the activity and to the T1w: a triangle of two voxels.
    sigma = np.linalg.norm([pet.intrinsic_mm, pet.filter_mm]) / FWHM_PER_SIGMA
    sigma = np.hypot(sigma, np.sqrt(2 / 6) * np.mean(pet.voxel_mm))
    true = file.get_fdata()
    true = np.where(true == 0, AROUND_UPTAKE, true)
    true = ndimage.gaussian_filter(true, sigma / size_of(study) / head.SUVR_AFFINE[0, 0])
    region = study.settings["tracers"][tracer]["reference_region"]
    true /= true[atlas.region_mask(region, true.shape, file.affine)].mean()

    found = nib.load(study.normalized / paths.preprocessed_pet(LABEL, tracer))
    mask = nib.load(study.normalized / paths.brain_mask(LABEL)).get_fdata() > 0
    points = grid_points(mask.shape, found.affine)
    true = sample(limit_resolution(true, file.affine, 4.0), file.affine, points)
    labels = atlas.region_labels(mask.shape, found.affine)
    errors = {
        region: found.get_fdata()[inside].mean() / true[inside].mean() - 1
        for region, value in atlas.REGIONS.items()
        if (inside := (labels == value) & mask).sum() >= 20
    }
    assert len(errors) > 12
    assert max(map(abs, errors.values())) < REGION_SUVR, errors
    assert abs(np.mean(list(errors.values()))) < BIAS_SUVR, errors


def test_status_tells_what_was_used_and_what_not(study) -> None:
    status = study.status(study.normalized)
    assert (status["status"], status["session"]) == ("ok", "bl")
    assert status["kind"] == "simulated"
    assert status["tracers"]["tau"]["frames"] == [1, 2, 3, 4]
    tspo = status["tracers"]["tspo"]
    assert tspo["status"] == "excluded"
    assert "PBR28_pet.nii.gz: its sidecar does not state FrameTimesStart" in tspo["reason"]
    assert not list(study.normalized.glob("*tspo*"))
    assert status["qc"]["T1w_registration"] > 0.9


def test_every_image_of_a_simulated_head_says_so(study) -> None:
    images = [*study.registered.glob("*.nii.gz"), *study.normalized.glob("*.nii.gz")]
    images = [image for image in images if not image.name.endswith("_xfm.nii.gz")]
    assert len(images) > 8
    for image in images:
        assert is_simulated(image), image


def excluded(study: Study, bids: Path, label: str, out: Path) -> str:
    """Register a subject that cannot be; return the reason."""
    step("register", bids, out, "--subject", label, settings=study.settings)
    assert sorted(file.name for file in out.iterdir()) == ["provenance.json", "status.json"]
    status = study.status(out)
    assert status["status"] == "excluded"
    return status["reason"]


@pytest.fixture
def broken(study, tmp_path) -> tuple[Path, Path]:
    """A dataset of links to the study's, whose T1w may be replaced."""
    bids = tmp_path / "bids"
    for file in study.bids.rglob("*"):
        if file.is_file():
            link = bids / file.relative_to(study.bids)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    (t1w,) = bids.glob("**/*_T1w.nii.gz")
    content = t1w.read_bytes()
    t1w.unlink()
    t1w.write_bytes(content)
    return bids, t1w


def test_a_truncated_t1w_excludes_its_subject(study, broken, tmp_path) -> None:
    bids, t1w = broken
    t1w.write_bytes(t1w.read_bytes()[:20_000])
    reason = excluded(study, bids, LABEL, tmp_path / "out")
    assert reason.startswith(f"sub-{LABEL}/ses-bl/anat/{t1w.name}: cannot be read")


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (None, "empty")])
def test_a_t1w_without_usable_voxels_excludes_its_subject(
    study, broken, tmp_path, value: float | None, word: str
) -> None:
    bids, t1w = broken
    image = nib.load(t1w)
    data = np.zeros(image.shape, np.float32)
    if value is not None:
        data[3, 3, 3] = value
    nib.save(nib.Nifti1Image(data, image.affine), t1w)
    assert word in excluded(study, bids, LABEL, tmp_path / "out")


def test_a_broken_flair_leaves_the_rest_of_its_subject(study, broken, tmp_path) -> None:
    """Methods need FLAIR, but T1w and PET are registered, and the reason is kept for the table."""
    bids, _ = broken
    (flair,) = bids.glob("**/*_FLAIR.nii.gz")
    content = flair.read_bytes()
    flair.unlink()
    flair.write_bytes(content[:20_000])
    (labels,) = bids.glob("**/*_dseg.nii.gz")
    image = nib.load(labels)
    moved = image.affine.copy()
    moved[1, 3] += 12
    data = np.asarray(image.dataobj)
    labels.unlink()
    save_nifti(labels, data, moved)
    for pet in bids.glob("**/*_pet.nii.gz"):
        pet.with_name(pet.name.replace(".nii.gz", ".json")).unlink()
        pet.with_name(pet.name.replace(".nii.gz", ".json")).write_text("{", encoding="utf-8")
    step("register", bids, tmp_path / "out", "--subject", LABEL, settings=study.settings)
    status = study.status(tmp_path / "out")
    assert status["status"] == "ok"
    assert status["mri"]["FLAIR"]["status"] == "excluded"
    assert status["mri"]["FLAIR"]["reason"].startswith(
        f"sub-{LABEL}/ses-bl/anat/{flair.name}: cannot be read"
    )
    assert status["segmentation"]["status"] == "excluded"
    assert "not in the space of the T1w" in status["segmentation"]["reason"]
    for tracer in status["tracers"].values():
        assert tracer["status"] == "excluded" and "JSON" in tracer["reason"]
    there = {file.name for file in (tmp_path / "out").iterdir()}
    assert names(LABEL)["brain_mask"] in there and names(LABEL)["flair"] not in there
    assert not {names(LABEL)[key] for key in ("segmentation", "segmentation_table")} & there
    # Registered twice, the same bytes; FLAIR and PET change nothing of it.
    for key in ("t1w", "brain_mask", "t1w_to_mni_affine", "t1w_to_mni_warp"):
        name = names(LABEL)[key]
        again = (tmp_path / "out" / name).read_bytes()
        assert again == (study.registered / name).read_bytes(), name


def test_a_subject_without_scans_is_excluded(study, tmp_path) -> None:
    """All scans of somebody may have been dropped, which stops no cohort."""
    bids = tmp_path / "bids"
    shutil.copytree(study.bids, bids, ignore=shutil.ignore_patterns("sub-*"))
    write_table(bids / "participants.tsv", [{"participant_id": "sub-941S0009"}], ["participant_id"])
    reason = excluded(study, bids, "941S0009", tmp_path / "out")
    assert reason == "sub-941S0009 has no session with a T1w"


def test_what_is_no_bids_dataset_is_refused(study, tmp_path, capsys) -> None:
    arguments = ["register", str(tmp_path), str(tmp_path / "out"), "--subject", LABEL]
    assert cli.main([*arguments, "--settings", file_of(study.settings)]) == 2
    assert "dataset_description.json is missing" in capsys.readouterr().err


@pytest.mark.parametrize("tracer", ["tau", "amyloid"])
def test_what_anatomy_determines_comes_along(study, tracer) -> None:
    """By the scan's own transforms: the uptake that is known, as this tomograph sees it."""
    tomograph = scanners.scanner("alpha").pet
    fwhm_mm = np.sqrt(tomograph.intrinsic_mm**2 + tomograph.filter_mm**2)
    known, real = (
        nib.load(study.normalized / name(LABEL, tracer))
        for name in (paths.predictable_pet, paths.preprocessed_pet)
    )

    def truth(kind: str) -> np.ndarray:
        image = nib.load(study.truth / f"sub-{LABEL}_trc-{tracer}_space-MNI_desc-{kind}_pet.nii.gz")
        sigma = fwhm_mm / FWHM_PER_SIGMA / np.diag(image.affine)[:3]
        blurred = limit_resolution(
            ndimage.gaussian_filter(image.get_fdata(), sigma), image.affine, 4.0
        )
        return sample(blurred, image.affine, grid_points(known.shape, known.affine))

    mask = nib.load(study.normalized / paths.brain_mask(LABEL)).get_fdata() > 0
    inner = ndimage.binary_erosion(mask, iterations=2)  # the head's surroundings are not in it

    def off(image: nib.Nifti1Image, kind: str) -> float:
        return np.abs(image.get_fdata() - truth(kind))[inner].mean()

    assert np.corrcoef(known.get_fdata()[inner], truth("predictable")[inner])[0, 1] > 0.9
    # Registration moves both of them alike; what is hidden from MRI is in the PET alone.
    assert off(known, "predictable") < off(known, "noisefree")
    assert off(real, "noisefree") < off(real, "predictable")
