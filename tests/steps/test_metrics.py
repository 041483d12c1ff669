"""``relad metrics``: what it prints, and that bad input ends in one line and status 2."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.cli import main
from relad.imaging import atlas
from relad.imaging.nifti import save_nifti
from relad.results.metrics import ANATOMY, compare, mask_of

SHAPE = (12, 13, 14)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(1)
    truth = random.uniform(0, 3, SHAPE).astype(np.float32)
    save_nifti(tmp_path / "truth.nii.gz", truth, AFFINE)
    save_nifti(tmp_path / "pred.nii.gz", truth + np.float32(0.2), AFFINE)
    return tmp_path / "pred.nii.gz", tmp_path / "truth.nii.gz"


def values(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run, require status 2 and exactly one line on stderr, and return it."""
    assert main(["metrics", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


ONE = ["psnr", "ssim", "ssim_open", "mae", "hfen"]
ONE += ["spectral_low", "spectral_middle", "spectral_high", "crps", "suvr", "suvr_true"]
VOXEL = (4.0, 4.0, 4.0)


def test_prints_every_metric_of_one_image(pair, capsys):
    assert main(["metrics", *map(str, pair), "--data-range", "4"]) == 0
    printed = json.loads(capsys.readouterr().out)
    everywhere = np.ones(SHAPE, bool)
    images = values(pair[0]), values(pair[1])
    assert printed == compare(*images, everywhere, 4.0, voxel_mm=VOXEL)
    assert list(printed) == ONE


def test_samples_have_a_spread(pair, tmp_path, capsys):
    mask = values(pair[1]) > 0.5
    save_nifti(tmp_path / "mask.nii.gz", mask, AFFINE)
    noise = np.random.default_rng(2).normal(0, 0.3, (3, *SHAPE)).astype(np.float32)
    files = [str(tmp_path / f"sample{n}.nii.gz") for n in range(3)]
    for file, sample in zip(files, values(pair[1]) + noise, strict=True):
        save_nifti(file, sample, AFFINE)
    save_nifti(pair[0], values(pair[1]) + noise.mean(axis=0), AFFINE)
    arguments = [*map(str, pair), "--mask", str(tmp_path / "mask.nii.gz"), "--data-range", "4"]
    assert main(["metrics", *arguments, "--samples", *files]) == 0
    printed = json.loads(capsys.readouterr().out)
    samples = np.stack([values(Path(file))[mask] for file in files])
    images = values(pair[0]), values(pair[1])
    assert printed == compare(*images, mask, 4.0, voxel_mm=VOXEL, samples=samples)
    of_samples = ["spread_skill", "coverage_50", "coverage_80", "coverage_90"]
    assert list(printed) == [*ONE[:-2], *of_samples, *ONE[-2:]]
    assert printed["crps"] < printed["mae"]
    assert "two or more, or none" in refused(capsys, *arguments, "--samples", files[0])
    same = refused(capsys, *arguments, "--samples", *files, files[1])
    assert "samples 2 and 4 are the same image: does the method use its noise?" in same
    others = refused(capsys, *arguments, "--samples", *files[:2])
    assert "the image is not the mean of its samples (off by up to" in others
    save_nifti(files[0], noise[0], np.diag([-4.0, 4.0, 4.0, 1.0]))
    assert "sample0.nii.gz: its affine differs" in refused(capsys, *arguments, "--samples", *files)


def test_mask(pair, tmp_path, capsys):
    prediction = values(pair[0]).copy()
    prediction[:3] += 2  # outside the mask
    save_nifti(pair[0], prediction, AFFINE)
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:] = 1
    save_nifti(tmp_path / "mask.nii.gz", mask, AFFINE)
    arguments = [*map(str, pair), "--mask", str(tmp_path / "mask.nii.gz"), "--data-range", "4"]
    assert main(["metrics", *arguments]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == compare(prediction, values(pair[1]), mask > 0, 4.0, voxel_mm=VOXEL)
    assert printed["mae"] == pytest.approx(0.2, abs=1e-6)


# --- in regions ----------------------------------------------------------------------------------


@pytest.fixture
def in_mni(tmp_path: Path) -> list[str]:
    """Two images on a grid over the template's brain, and its mask."""
    affine = atlas.grid_affine((24, 28, 24), 8.0)
    random = np.random.default_rng(4)
    for name in ("a", "b"):
        image = random.uniform(0.5, 3, (24, 28, 24)).astype(np.float32)
        save_nifti(tmp_path / f"{name}.nii.gz", image, affine)
    brain = atlas.brain_mask((24, 28, 24), affine)
    save_nifti(tmp_path / "brain.nii.gz", brain, affine)
    images = [str(tmp_path / f"{name}.nii.gz") for name in ("a", "b")]
    return [*images, "--data-range", "4", "--mask", str(tmp_path / "brain.nii.gz")]


def test_relads_regions_are_those_of_evaluate(in_mni, capsys):
    assert main(["metrics", *in_mni, "--regions", "mni"]) == 0
    found = json.loads(capsys.readouterr().out)["regions"]
    assert list(found) == list(ANATOMY)
    affine = nib.load(in_mni[0]).affine
    brain = values(in_mni[-1]) > 0
    for region in ("frontal", "amyloid_cortex"):
        mask = mask_of(region, brain, affine)
        means = {"suvr": values(in_mni[0])[mask], "suvr_true": values(in_mni[1])[mask]}
        assert found[region] == pytest.approx({k: v.mean(dtype=float) for k, v in means.items()})


def test_a_region_that_the_mask_lacks_is_null(in_mni, capsys):
    image = nib.load(in_mni[-1])
    affine = image.affine
    kept = values(in_mni[-1]) * ~atlas.region_mask("thalamus", image.shape, affine)
    save_nifti(Path(in_mni[-1]), kept.astype(np.uint8), affine)
    assert main(["metrics", *in_mni, "--regions", "mni"]) == 0
    found = json.loads(capsys.readouterr().out)["regions"]
    assert found["thalamus"] is None and found["frontal"] is not None


def test_labels_of_an_image_are_named_by_their_table(pair, tmp_path, capsys):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:6], labels[6:9] = 17, 53
    save_nifti(tmp_path / "dseg.nii.gz", labels, AFFINE)
    (tmp_path / "dseg.tsv").write_text("index\tname\n17\tleft\n53\tright\n99\tnowhere\n")
    given = ["--regions", str(tmp_path / "dseg.nii.gz"), "--names", str(tmp_path / "dseg.tsv")]
    assert main(["metrics", *map(str, pair), "--data-range", "4", *given]) == 0
    found = json.loads(capsys.readouterr().out)["regions"]
    assert found["nowhere"] is None
    for name, label in (("left", 17), ("right", 53)):
        expected = compare(
            values(pair[0]), values(pair[1]), labels == label, 4.0, own=True, region=name
        )
        assert found[name] == expected
        assert list(found[name]) == ["psnr", "mae", "crps", "suvr", "suvr_true"]
    # Of the left one the mask has less than half, of the right one all.
    inside = (np.arange(SHAPE[0]) >= 4)[:, None, None] & np.ones(SHAPE, bool)
    save_nifti(tmp_path / "mask.nii.gz", inside, AFFINE)
    masked = ["--mask", str(tmp_path / "mask.nii.gz")]
    assert main(["metrics", *map(str, pair), "--data-range", "4", *given, *masked]) == 0
    part = json.loads(capsys.readouterr().out)["regions"]
    assert part == {"left": None, "right": found["right"], "nowhere": None}
    save_nifti(tmp_path / "dseg.nii.gz", labels[::-1], np.diag([-4.0, 4.0, 4.0, 1.0]))
    message = refused(capsys, *pair, "--data-range", 4, *given)
    assert "dseg.nii.gz: its affine differs" in message
    save_nifti(tmp_path / "dseg.nii.gz", labels, AFFINE)
    (tmp_path / "dseg.tsv").write_text("index\tname\n17\tleft\n17\tright\n")
    message = refused(capsys, *pair, "--data-range", 4, *given)
    assert "dseg.tsv: the label 17 has two names, left and right" in message


def test_what_regions_lack_is_asked_for(pair, in_mni, tmp_path, capsys):
    assert "needs --mask" in refused(capsys, *pair, "--data-range", 4, "--regions", "mni")
    assert "needs --names" in refused(capsys, *pair, "--data-range", 4, "--regions", pair[0])
    elsewhere = np.eye(4) * [8, 8, 8, 1]
    elsewhere[:3, 3] = 300
    for file in (*in_mni[:2], in_mni[-1]):
        save_nifti(Path(file), values(file), elsewhere)
    message = refused(capsys, *in_mni, "--regions", "mni")
    assert "brain.nii.gz: is not in MNI152 space" in message


def test_identical_images_have_null_psnr(pair, capsys):
    assert main(["metrics", str(pair[1]), str(pair[1]), "--data-range", "4"]) == 0
    mean = pytest.approx(values(pair[1]).mean(dtype=float))
    same = [None, 1.0, 1.0, *[0.0] * 6, mean, mean]
    assert json.loads(capsys.readouterr().out) == dict(zip(ONE, same, strict=True))


def test_a_constant_truth_has_null_detail(pair, capsys):
    save_nifti(pair[1], np.ones(SHAPE, np.float32), AFFINE)
    assert main(["metrics", *map(str, pair), "--data-range", "4"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [name for name, value in printed.items() if value is None] == ONE[4:8]


def test_a_constant_prediction_is_judged(pair, capsys):
    save_nifti(pair[0], np.ones(SHAPE, np.float32), AFFINE)
    assert main(["metrics", *map(str, pair), "--data-range", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["ssim"] < 0.5


def test_refuses_another_shape(pair, capsys):
    save_nifti(pair[0], values(pair[0])[1:], AFFINE)
    message = refused(capsys, *pair, "--data-range", 4)
    assert "(11, 13, 14)" in message
    assert "(12, 13, 14)" in message


def test_refuses_another_affine(pair, capsys):
    moved = AFFINE.copy()
    moved[0, 3] = 2.0
    save_nifti(pair[0], values(pair[0]), moved)
    assert "affine differs" in refused(capsys, *pair, "--data-range", 4)


def test_refuses_a_mirrored_grid(pair, capsys):
    save_nifti(pair[0], values(pair[0]), np.diag([-4.0, 4.0, 4.0, 1.0]))
    assert "affine differs" in refused(capsys, *pair, "--data-range", 4)


def test_accepts_an_affine_that_differs_by_rounding(pair):
    save_nifti(pair[0], values(pair[0]), AFFINE + 1e-5 * (AFFINE != 0) * [[1], [1], [1], [0]])
    assert main(["metrics", *map(str, pair), "--data-range", "4"]) == 0


def test_refuses_a_mask_on_another_grid(pair, tmp_path, capsys):
    save_nifti(tmp_path / "mask.nii.gz", np.ones(SHAPE[::-1], np.uint8), AFFINE)
    message = refused(capsys, *pair, "--mask", tmp_path / "mask.nii.gz", "--data-range", 4)
    assert "mask.nii.gz: has shape" in message


def test_refuses_an_empty_mask(pair, tmp_path, capsys):
    save_nifti(tmp_path / "mask.nii.gz", np.zeros(SHAPE, np.uint8), AFFINE)
    message = refused(capsys, *pair, "--mask", tmp_path / "mask.nii.gz", "--data-range", 4)
    assert "mask is empty" in message


@pytest.mark.parametrize("data_range", ["0", "-4", "nan", "inf"])
def test_refuses_a_data_range_that_is_none(pair, capsys, data_range):
    assert "--data-range" in refused(capsys, *pair, f"--data-range={data_range}")


def test_refuses_nan(pair, capsys):
    spoilt = values(pair[0]).copy()
    spoilt[0, 0, 0] = np.nan
    save_nifti(pair[0], spoilt, AFFINE)
    assert "1 voxels are NaN" in refused(capsys, *pair, "--data-range", 4)


def test_refuses_images_smaller_than_the_window(tmp_path, capsys):
    save_nifti(tmp_path / "small.nii.gz", np.arange(1000.0).reshape(10, 10, 10), AFFINE)
    message = refused(capsys, *[tmp_path / "small.nii.gz"] * 2, "--data-range", 4)
    assert "window of 11" in message


def test_refuses_a_missing_file(pair, tmp_path, capsys):
    assert "no such image" in refused(capsys, tmp_path / "no.nii.gz", pair[1], "--data-range", 4)


def test_refuses_a_file_that_is_no_image(pair, tmp_path, capsys):
    (tmp_path / "text.nii.gz").write_text("not an image")
    assert "cannot be read" in refused(capsys, tmp_path / "text.nii.gz", pair[1], "--data-range", 4)


def test_refuses_dynamic_images(pair, tmp_path, capsys):
    save_nifti(tmp_path / "4d.nii.gz", np.random.default_rng(0).normal(size=(*SHAPE, 2)), AFFINE)
    message = refused(capsys, tmp_path / "4d.nii.gz", pair[1], "--data-range", 4)
    assert "4 dimensions where 3" in message
