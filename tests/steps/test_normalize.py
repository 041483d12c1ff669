"""Normalisation: transforms composed the right way round, SUVR, limits of quality."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad import cli
from relad.errors import DataError, ReladError
from relad.fileio import read_json, write_json
from relad.imaging import atlas, similarity
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import grid_points
from relad.imaging.suvr import harmonize, measure_reference
from relad.qc.limits import judge, judge_flair, judge_head, judge_pet
from relad.registration.transforms import names, pet_names, write_affine
from relad.status import SubjectStatus
from relad.study import paths
from relad.study.settings import QcSettings, typed
from tests.helpers.quality import GOOD, GOOD_PET
from tests.helpers.registered import (
    MNI_TO_T1W,
    MOTION,
    REFERENCE_BQ_ML,
    SETTINGS,
    SUBJECT,
    T1W_TO_PET,
    pose,
    scan,
    truth,
    write_registered,
)
from tests.helpers.settings import file_of

SHAPE = tuple(SETTINGS["grid"]["shape"])
AFFINE = atlas.grid_affine(SHAPE, SETTINGS["grid"]["voxel_mm"])
LIMITS = typed(QcSettings, SETTINGS).qc


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Path:
    return write_registered(tmp_path_factory.mktemp("registered") / f"sub-{SUBJECT}")


@pytest.fixture(scope="module")
def normalized(registered, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("normalized") / f"sub-{SUBJECT}"
    assert normalize(registered, out) == 0
    return out


@pytest.fixture
def changed(registered, tmp_path) -> Path:
    """A copy of the registered subject, free to be spoilt."""
    return Path(shutil.copytree(registered, tmp_path / "registered"))


def judged(folder: Path) -> SubjectStatus:
    return judge(SubjectStatus.read(folder), LIMITS)


def normalize(registered: Path, out: Path, settings: dict = SETTINGS, *options: str) -> int:
    folders = ["normalize", str(registered), str(out)]
    return cli.main([*folders, "--subject", SUBJECT, "--settings", file_of(settings), *options])


def image(folder: Path, name: str) -> np.ndarray:
    loaded = nib.load(folder / name)
    np.testing.assert_allclose(loaded.affine, AFFINE)
    assert loaded.shape == SHAPE
    return loaded.get_fdata()


def test_every_image_comes_back_to_where_it_was_in_mni(normalized) -> None:
    mask = image(normalized, paths.brain_mask(SUBJECT)) > 0.5
    template = atlas.brain_mask(SHAPE, AFFINE)
    assert 2 * (mask & template).sum() / (mask.sum() + template.sum()) > 0.98
    for name, kind in (
        (paths.preprocessed_mri(SUBJECT, "T1w"), "T1w"),
        (paths.preprocessed_mri(SUBJECT, "FLAIR"), "FLAIR"),
        (paths.preprocessed_pet(SUBJECT, "tau"), "SUVR"),
    ):
        r = np.corrcoef(image(normalized, name)[mask], truth(kind, SHAPE, AFFINE)[mask])[0, 1]
        # Half a voxel of misplacement already gives less than 0.96.
        assert r > 0.975, (kind, r)


def test_pet_is_in_suvr(normalized) -> None:
    entry = read_json(normalized / "status.json")["tracers"]["tau"]
    # Levels 1.5 for 300 s and 0.75 for 600 s: the duration-weighted mean is the reference level.
    assert entry["reference_mean"] == pytest.approx(1.0 * REFERENCE_BQ_ML, rel=0.03)
    assert entry["reference_volume_ml"] > 100
    suvr = image(normalized, paths.preprocessed_pet(SUBJECT, "tau"))
    region = atlas.region_mask("whole_cerebellum", SHAPE, AFFINE)
    assert suvr[region].mean() == pytest.approx(1.0, abs=0.05)
    deep = atlas.resample_map("white", SHAPE, AFFINE) > 0.97
    assert suvr[deep & ~region].mean() == pytest.approx(1.0, abs=0.1)


def test_simulated_data_says_so(normalized) -> None:
    header = nib.load(normalized / paths.preprocessed_pet(SUBJECT, "tau")).header
    assert b"SIMULATED" in bytes(header["descrip"])


def test_same_input_same_bytes(registered, normalized, tmp_path) -> None:
    assert normalize(registered, tmp_path / "again") == 0
    files = sorted(file.name for file in normalized.iterdir())
    assert f"sub-{SUBJECT}_qc.png" in files
    for name in files:
        assert (normalized / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_frames_outside_the_window_are_told_and_not_averaged(changed, normalized, tmp_path) -> None:
    name = pet_names(SUBJECT, "tau")["motion"]
    told = read_json(changed / name)
    lost = {key: None for key in told["frames"][0]} | {"index": 2, "in_window": False}
    write_json(changed / name, {**told, "frames": [*told["frames"], lost]})
    assert normalize(changed, tmp_path / "out") == 0
    file = paths.preprocessed_pet(SUBJECT, "tau")
    assert (tmp_path / "out" / file).read_bytes() == (normalized / file).read_bytes()
    assert read_json(tmp_path / "out" / name)["frames"][2] == lost


def test_without_motion_correction_frames_are_averaged_as_they_lie(
    changed, normalized, tmp_path
) -> None:
    name = pet_names(SUBJECT, "tau")["motion"]
    write_json(changed / name, {**read_json(changed / name), "corrected": False})
    status = read_json(changed / "status.json")
    status["tracers"]["tau"]["motion_corrected"] = False
    write_json(changed / "status.json", status)
    assert normalize(changed, tmp_path / "out") == 0
    file = paths.preprocessed_pet(SUBJECT, "tau")
    mask = image(normalized, paths.brain_mask(SUBJECT)) > 0.5
    true = truth("SUVR", SHAPE, AFFINE)[mask]
    on, off = (
        np.corrcoef(image(folder, file)[mask], true)[0, 1]
        for folder in (normalized, tmp_path / "out")
    )
    assert on > off + 0.02
    sidecars = [
        read_json(folder / file.replace(".nii.gz", ".json"))["MotionCorrection"]
        for folder in (normalized, tmp_path / "out")
    ]
    assert [told["Applied"] for told in sidecars] == [True, False]
    assert sidecars[0]["LargestDisplacementMillimetres"] == 5.0
    # The pair shows the motion the other way round, as it was not undone.
    for folder, first in ((normalized, "tau without motion correction"), (tmp_path / "out", "tau")):
        told = read_json(folder / paths.flicker_views(SUBJECT))
        assert {p["name"]: p["first"] for p in told["pairs"]}["tau motion"] == first


def test_pairs_show_what_registration_did(normalized) -> None:
    """The tiles of a column are found by their place; a FLAIR before is far from the T1w."""
    from PIL import Image

    told = read_json(normalized / paths.flicker_views(SUBJECT))
    assert [pair["name"] for pair in told["pairs"]] == [
        *("T1w / template, affine", "FLAIR / T1w", "FLAIR before / after"),
        *("tau / T1w", "tau before / after", "tau motion"),
    ]
    width, height = told["size"]
    column = np.asarray(Image.open(normalized / paths.flicker_picture(SUBJECT)).convert("L"), float)
    assert column.shape == (height * len(told["views"]), width)
    tiles = {
        name: column[height * i + 20 : height * (i + 1)] for i, name in enumerate(told["views"])
    }
    edges = np.asarray(Image.open(normalized / paths.flicker_outline(SUBJECT)))[..., 3] > 0
    assert edges.shape == (height * len(told["outlines"]), width)

    def alike(first: str, second: str) -> float:
        return float(np.corrcoef(tiles[first].ravel(), tiles[second].ravel())[0, 1])

    # The subject is the template itself, its transforms are the true ones.
    assert alike("T1w", "template") > 0.98
    for name in ("FLAIR", "tau"):
        assert alike(name, "T1w") > alike(f"{name} as headers place it", "T1w") + 0.1
    brain = tiles["template"] > 40
    drawn = edges[20:height]
    assert drawn.any() and brain[drawn].mean() > 0.3
    size = sum(f.stat().st_size for f in normalized.iterdir() if f.suffix in (".jpg", ".png"))
    assert size < 400_000


def test_a_lost_registration_excludes_the_subject_or_the_tracer(changed, tmp_path) -> None:
    matrix = pose(0, (0, 24, 24)) @ MNI_TO_T1W
    write_affine(changed / pet_names(SUBJECT, "tau")["pet_to_t1w"], matrix)
    assert normalize(changed, tmp_path / "pet") == 0
    status = judged(tmp_path / "pet")
    assert status.ok
    assert status.pet["tau"].state == "excluded"
    assert "tau to T1w" in status.pet["tau"].reason

    write_affine(changed / names(SUBJECT)["t1w_to_mni_affine"], pose(0, (0, 24, 8)) @ MNI_TO_T1W)
    assert normalize(changed, tmp_path / "mri") == 0
    status = judged(tmp_path / "mri")
    assert status.state == "excluded"
    assert "T1w to MNI" in status.reason
    assert status.mri["T1w"].reason == status.reason


def test_a_subject_excluded_before_stays_excluded(changed, tmp_path) -> None:
    status = read_json(changed / "status.json")
    write_json(changed / "status.json", {**status, "status": "excluded", "reason": "T1w truncated"})
    assert normalize(changed, tmp_path / "out") == 0
    assert read_json(tmp_path / "out" / "status.json")["reason"] == "T1w truncated"
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_a_short_field_of_view_is_told(changed, tmp_path) -> None:
    file = changed / pet_names(SUBJECT, "tau")["frames"]
    frames = nib.load(file)
    nib.save(frames.slicer[:, :, :40], file)
    assert normalize(changed, tmp_path / "out") == 0
    reason = judged(tmp_path / "out").pet["tau"].reason
    assert "covers" in reason and "%" in reason


def test_what_a_pet_cut_at_the_vertex_still_shows_is_what_the_whole_one_shows(
    changed, normalized, tmp_path
) -> None:
    file = changed / pet_names(SUBJECT, "tau")["frames"]
    frames = nib.load(file)
    nib.save(frames.slicer[:, :, :46], file)
    assert normalize(changed, tmp_path / "out") == 0
    name = paths.field_of_view(SUBJECT, "tau")
    brain = image(normalized, paths.brain_mask(SUBJECT)) > 0.5
    assert np.array_equal(image(tmp_path / "out", paths.brain_mask(SUBJECT)) > 0.5, brain)
    assert (image(normalized, name)[brain] > 0.5).all()
    seen = image(tmp_path / "out", name) > 0.5
    assert 0.5 < seen[brain].mean() < 0.98
    # By hand: what lies within the outermost voxel centres of every frame.
    points = apply_affine(T1W_TO_PET @ MNI_TO_T1W, grid_points(SHAPE, AFFINE))
    reach = np.array([*frames.shape[:2], 46]) - 1
    expected = np.ones(SHAPE, bool)
    for moved in MOTION:
        index = apply_affine(np.linalg.inv(frames.affine) @ moved, points)
        expected &= ((index >= 0) & (index <= reach)).all(-1)
    assert (seen != expected).mean() < 1e-3  # a point may lie on the edge
    whole, cut = (
        image(folder, paths.preprocessed_pet(SUBJECT, "tau"))
        for folder in (normalized, tmp_path / "out")
    )
    # Smoothing to the grid's voxels reaches across the cut by a hair.
    difference = np.abs(whole - cut)[brain & seen]
    assert np.mean(difference > 0.001) < 0.1 and difference.max() < 0.1
    # Where it ends, SUVR falls to 0: of no brain.
    assert whole[brain & ~seen].mean() > 1 and cut[brain & ~seen].mean() < 0.5


# --- what anatomy determines of simulated PET ---------------------------------------------------


def write_truth(folder: Path, frame: int, start_s: float = 4800.0) -> Path:
    """What anatomy determines is all of the PET, of another level, in the pose of one frame."""
    image, affine = scan("SUVR", MOTION[frame] @ T1W_TO_PET @ MNI_TO_T1W)
    file = folder / f"sub-{SUBJECT}" / paths.predictable_truth(SUBJECT, "tau")
    save_nifti(file, 7 * image, affine)
    times = {"FrameTimesStart": [start_s + 300 * frame], "FrameDuration": [300.0]}
    write_json(file.with_name(file.name.replace(".nii.gz", ".json")), times)
    return folder


@pytest.mark.parametrize(
    ("frame", "psf"), [(0, {}), (1, {"tau": {"known_fwhm_mm": 6.0, "target_fwhm_mm": 12.0}})]
)
def test_what_anatomy_determines_comes_to_suvr_as_the_pet_does(
    registered, normalized, tmp_path, frame, psf
) -> None:
    """By the pose of its frame, the same transforms and resolution, and its own reference."""
    settings = cohorts_with({"sim": psf})
    truth_ = write_truth(tmp_path / "truth", frame)
    assert normalize(registered, tmp_path / "out", settings, "--truth", str(truth_)) == 0
    pet, known = (
        image(tmp_path / "out", name(SUBJECT, "tau"))
        for name in (paths.preprocessed_pet, paths.predictable_pet)
    )
    brain = image(normalized, paths.brain_mask(SUBJECT)) > 0.5
    # Two frames in two poses are averaged in the PET: twice interpolated, a little smoother.
    assert np.abs(pet - known)[brain].mean() < (0.01 if psf else 0.03)
    assert np.corrcoef(pet[brain], known[brain])[0, 1] > 0.995
    region = atlas.region_mask("whole_cerebellum", SHAPE, AFFINE)
    assert known[region].mean() == pytest.approx(pet[region].mean(), abs=0.01)
    # What the PET itself is, and all else, does not change.
    for file in normalized.iterdir() if not psf else ():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes(), file.name
    assert b"SIMULATED" in bytes(
        nib.load(tmp_path / "out" / paths.predictable_pet(SUBJECT, "tau")).header["descrip"]
    )


def test_truth_that_is_missing_or_of_another_time_is_told(registered, tmp_path, capsys) -> None:
    given = ("--truth", str(tmp_path / "truth"))
    assert normalize(registered, tmp_path / "out", SETTINGS, *given) == 2
    assert "nothing is known of the tau PET of sub-S1" in capsys.readouterr().err
    write_truth(tmp_path / "truth", 0, start_s=60.0)
    assert normalize(registered, tmp_path / "out", SETTINGS, *given) == 2
    assert "3.5 min after injection, which is in no frame of the window" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_folder_of_another_subject_is_refused(registered, tmp_path, capsys) -> None:
    arguments = ["normalize", str(registered), str(tmp_path / "out"), "--subject", "S2"]
    assert cli.main([*arguments, "--settings", file_of(SETTINGS)]) == 2
    assert "holds sub-S1, not sub-S2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("brain_volume_ml", 700.0, "700 ml"),
        ("brain_overlap_dice", 0.7, "Dice 0.70"),
        ("T1w_registration", 0.2, "T1w to MNI: correlation"),
        ("T1w_margin", 0.029, "may be no head"),
        ("T1w_half_turn", 0.1, "turned by 180 degrees"),
        ("T1w_coverage", 0.5, "covers 50%"),
        ("FLAIR_registration", 0.5, "may be another person's"),
        ("FLAIR_margin", 0.019, "hardly fits better than displaced"),
        ("FLAIR_coverage", 0.5, "covers 50%"),
    ],
)
def test_limits_of_mri(key: str, value: float, word: str) -> None:
    of = judge_flair if key.startswith("FLAIR") else judge_head
    assert of(GOOD, LIMITS) is None
    assert word in of({**GOOD, key: value}, LIMITS)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("registration", 0.2, "tau to T1w: correlation"),
        ("detail", 0.4, "is it an MRI?"),
        ("reference_fit", 0.7, "does not lie where it should"),
        ("reference_in_cerebellum", 0.8, "only 80% of the reference region lies inside"),
        ("margin", 0.004, "hardly fits better than displaced"),
        ("coverage", 0.9, "covers 90% of the brain"),
        ("reference_sd", 1500.0, "varies by 150%"),
        ("reference_coverage", 0.5, "covers 50% of the reference region"),
        ("motion_mm", 15.5, "lies 15.5 mm from its middle one, more than 15 mm"),
    ],
)
def test_limits_of_pet(key: str, value: float, word: str) -> None:
    assert judge_pet("tau", GOOD_PET, LIMITS) is None
    assert word in judge_pet("tau", {**GOOD_PET, key: value}, LIMITS)


def test_motion_that_nothing_measured_is_no_limit_missed() -> None:
    assert judge_pet("tau", {**GOOD_PET, "motion_mm": None}, LIMITS) is None


def test_limits_are_settings() -> None:
    strict = replace(LIMITS, max_reference_variation=0.1)
    assert "varies by 20%" in judge_pet("tau", GOOD_PET, strict)


def test_one_cause_is_named_and_not_what_follows_from_it() -> None:
    """A cut field of view spoils every later number; a failed pose spoils the reference."""
    cut = {**GOOD, "T1w_coverage": 0.6, "T1w_margin": 0.0, "brain_overlap_dice": 0.5}
    reason = judge_head({**cut, "brain_volume_ml": 500.0}, LIMITS)
    assert reason == (
        "T1w: the scan covers 60% of the brain, less than 95% (its field of view is cut)"
    )
    lost = {**GOOD_PET, "margin": -0.02, "registration": 0.1, "reference_fit": 0.2}
    reason = judge_pet("tau", {**lost, "reference_sd": 5000.0}, LIMITS)
    assert "hardly fits better than displaced" in reason and "reference" not in reason


def test_an_mri_that_is_given_for_a_pet_is_told(changed, tmp_path) -> None:
    """It fits the T1w better than any PET does: only its detail tells it."""
    data, affine = (np.asarray(x) for x in scan("T1w", T1W_TO_PET @ MNI_TO_T1W))
    noisy = data + np.random.default_rng(0).normal(0, 120, data.shape)
    files = pet_names(SUBJECT, "tau")
    for key, image in (("frames", np.stack([noisy, noisy], -1)), ("mean", noisy)):
        save_nifti(changed / files[key], image.astype(np.float32), affine)
    assert normalize(changed, tmp_path / "out") == 0
    assert "is it an MRI?" in judged(tmp_path / "out").pet["tau"].reason


def test_a_reference_region_that_slips_is_told(changed, tmp_path) -> None:
    """The warp leads the cerebellum away, PET and outline stay where they are."""
    assert normalize(changed, tmp_path / "right") == 0
    numbers = judged(tmp_path / "right").pet["tau"].numbers
    assert numbers["reference_fit"] > 0.95
    file = changed / names(SUBJECT)["t1w_to_mni_affine"]
    write_affine(file, pose(0, (0, 0, 8)) @ MNI_TO_T1W)
    assert normalize(changed, tmp_path / "out") == 0
    scan_ = judged(tmp_path / "out").pet["tau"]
    assert scan_.numbers["reference_fit"] < LIMITS.min_reference_fit
    told = judge_pet("tau", {**GOOD_PET, "reference_fit": 0.5}, LIMITS)
    assert "does not lie where it should" in told


@pytest.mark.parametrize(("shift", "caught"), [(0.0, False), (9.0, True), (16.0, True)])
def test_pet_a_little_off_is_caught_by_its_pose(
    changed, tmp_path, shift: float, caught: bool
) -> None:
    """What the outline alone lets through: it still fits with more than the least correlation."""
    file = changed / pet_names(SUBJECT, "tau")["pet_to_t1w"]
    write_affine(file, pose(0, (0.6 * shift, 0.8 * shift, 0)) @ T1W_TO_PET)
    assert normalize(changed, tmp_path / "out") == 0
    scan = judged(tmp_path / "out").pet["tau"]
    assert scan.numbers["registration"] > LIMITS.min_registration_correlation
    assert (scan.state == "excluded") == caught
    assert ("hardly fits better than displaced" in (scan.reason or "")) == caught


def test_a_subject_with_t1w_alone_is_normalised(changed, tmp_path) -> None:
    status = read_json(changed / "status.json")
    gone = {"status": "missing", "simulated": False}
    status["mri"]["FLAIR"] = {**gone, "reason": "no FLAIR in the session"}
    status["tracers"]["tau"] = {**gone, "reason": "none"}
    write_json(changed / "status.json", status)
    assert normalize(changed, tmp_path / "out") == 0
    assert read_json(tmp_path / "out" / "status.json")["status"] == "ok"
    names_ = {file.name for file in (tmp_path / "out").glob("*.nii.gz")}
    assert names_ == {paths.preprocessed_mri(SUBJECT, "T1w"), paths.brain_mask(SUBJECT)}


def cohorts_with(psf: dict) -> dict:
    return {**SETTINGS, "cohorts": {cohort: {"psf": entry} for cohort, entry in psf.items()}}


def test_pet_is_brought_to_a_common_resolution_before_suvr(changed, tmp_path) -> None:
    psf = {"tau": {"known_fwhm_mm": 4.0, "target_fwhm_mm": 9.0}}
    assert normalize(changed, tmp_path / "sharp") == 0
    assert normalize(changed, tmp_path / "smooth", cohorts_with({"sim": psf})) == 0
    name = paths.preprocessed_pet(SUBJECT, "tau")
    sharp, smooth = image(tmp_path / "sharp", name), image(tmp_path / "smooth", name)
    brain = image(tmp_path / "sharp", paths.brain_mask(SUBJECT)) > 0.5
    assert smooth[brain].std() < 0.9 * sharp[brain].std()
    assert read_json(tmp_path / "smooth" / "status.json")["tracers"]["tau"]["psf"] == psf["tau"]
    record = read_json(tmp_path / "smooth" / name.replace(".nii.gz", ".json"))
    assert record["PointSpreadFunction"] == psf["tau"]
    assert record["ReferenceRegion"]["Name"] == "whole_cerebellum"


def test_psf_needs_its_cohort_where_cohorts_differ(registered, tmp_path, capsys) -> None:
    psf = {"a": {}, "b": {"tau": {"known_fwhm_mm": 4.0, "target_fwhm_mm": 9.0}}}
    assert normalize(registered, tmp_path / "out", cohorts_with(psf)) == 2
    assert "--cohort" in capsys.readouterr().err


def test_harmonised_width_is_the_target() -> None:
    """A point source of the known width comes out with the target's."""
    x = np.arange(81) - 40.0
    sigma = 5.0 / 2.3548
    line = np.exp(-(x**2) / (2 * sigma**2))
    point = line[:, None, None] * line[None, :, None] * line[None, None, :]
    out = harmonize(point, np.eye(4), known_fwhm_mm=5.0, target_fwhm_mm=8.0)
    profile = out[:, 40, 40] / out.max()
    width = np.sqrt((profile * x**2).sum() / profile.sum()) * 2.3548
    assert width == pytest.approx(8.0, rel=0.02)
    with pytest.raises(ReladError, match="cannot be sharpened"):
        harmonize(point, np.eye(4), known_fwhm_mm=8.0, target_fwhm_mm=5.0)


def test_correlation_ratio_sees_any_function() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=20_000)
    noise = random.normal(size=x.size)
    assert similarity.correlation_ratio(x**2 - 1, x) > 0.9
    assert abs(similarity.correlation(x**2 - 1, x)) < 0.05
    assert similarity.correlation_ratio(noise, x) < 0.1
    linear = x + noise
    assert similarity.correlation_ratio(linear, x) == pytest.approx(
        similarity.correlation(linear, x), abs=0.02
    )


def test_a_reference_region_without_uptake_or_volume_is_refused() -> None:
    values = np.array([1.0, 2.0, 3.0] * 100)
    reference = measure_reference("cerebellum", values, 0.008)
    assert (reference.mean, reference.volume_ml) == (2.0, pytest.approx(2.4))
    with pytest.raises(DataError, match=r"0\.02 ml"):
        measure_reference("cerebellum", values[:3], 0.008)
    with pytest.raises(DataError, match="mean uptake"):
        measure_reference("cerebellum", -values, 0.008)


def test_deformation_is_a_setting(changed, tmp_path) -> None:
    """With a warp beside the affine, only ``deform`` bends the images."""
    field = np.zeros((20, 24, 20, 1, 3), np.float32)
    field[..., 1] = 8.0  # LPS: 8 mm to the back
    warp = nib.Nifti1Image(field, atlas.grid_affine((20, 24, 20), 10.0))
    nib.save(warp, changed / names(SUBJECT)["t1w_to_mni_warp"])
    assert normalize(changed, tmp_path / "off") == 0
    settings = copy.deepcopy(SETTINGS)
    settings["grid"]["deform"] = True
    assert normalize(changed, tmp_path / "on", settings) == 0
    straight = image(tmp_path / "off", paths.preprocessed_mri(SUBJECT, "T1w"))
    bent = image(tmp_path / "on", paths.preprocessed_mri(SUBJECT, "T1w"))
    # Two voxels of 4 mm: voxel y of the bent image shows what lay at y - 2.
    np.testing.assert_allclose(bent[:, 4:-4], straight[:, 2:-6], atol=15)
