"""One simulated person from DICOM to SUVR, against the ground truth that the pipeline never reads.

Errors are distances in mm over the brain between where a transform leads and where it should.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from relad import atlas, cli, config, paths
from relad.registration.transforms import mni_to_t1w, names, pet_names, read_affine
from relad.resample import apply_affine

SUBJECT = "941S0001"
#: Full width at half maximum in mm of scanner alpha's PET, to which the truth is smoothed.
PSF_MM = 6.5


class Run:
    """Folders of the one subject and its truth."""

    def __init__(self, root: Path):
        study = config.load()
        study["cohorts"] = {
            "one": {
                "role": "train",
                "source": "phantom",
                "phantom": {"subjects": 1, "site": 941, "scanner": "alpha"},
            }
        }
        study["grid"] = {**study["grid"], "deform": True}
        settings = ["--settings", json.dumps(study)]
        self.study = study
        self.registered, self.normalized = root / "registered", root / "normalized"
        for command in (
            ["phantom", str(root / "raw"), "--cohort", "one"],
            ["ingest", str(root / "raw"), str(root / "bids")],
            ["register", str(root / "bids"), str(self.registered), "--subject", SUBJECT],
            ["normalize", str(self.registered), str(self.normalized), "--subject", SUBJECT],
        ):
            assert cli.main([*command, *settings]) == 0
        self.folder = root / "raw" / "truth" / f"sub-{SUBJECT}"
        self.truth = json.loads((self.folder / "truth.json").read_text())
        self.mask = nib.load(self.folder / f"sub-{SUBJECT}_space-T1w_desc-brain_mask.nii.gz")
        brain = np.argwhere(np.asarray(self.mask.dataobj) > 0)[::29].astype(float)
        self.brain_points = apply_affine(self.mask.affine, brain)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("one"))


def errors_mm(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    distance = np.linalg.norm(found - expected, axis=-1)
    return float(distance.mean()), float(distance.max())


def test_brain_mask(one):
    ours = nib.load(one.registered / names(SUBJECT)["brain_mask"])
    np.testing.assert_allclose(ours.affine, one.mask.affine, atol=1e-3)
    a, b = (np.asarray(image.dataobj) > 0 for image in (ours, one.mask))
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.95


def test_flair_to_t1w(one):
    matrix = read_affine(one.registered / names(SUBJECT)["flair_to_t1w"])
    truth = np.array(one.truth["scans"]["FLAIR"]["rigid_T1w_to_scan"])
    mean, worst = errors_mm(
        apply_affine(matrix, one.brain_points), apply_affine(truth, one.brain_points)
    )
    assert mean < 1.0 and worst < 1.5


@pytest.mark.parametrize("tracer", ["tau", "amyloid", "tspo"])
def test_pet_to_t1w_of_every_frame(one, tracer):
    files = pet_names(SUBJECT, tracer)
    to_pet = apply_affine(read_affine(one.registered / files["pet_to_t1w"]), one.brain_points)
    frames = json.loads((one.registered / files["motion"]).read_text())["frames"]
    assert len(frames) == 4
    for frame in frames:
        found = apply_affine(np.array(frame["reference_to_frame_ras_mm"]), to_pet)
        truth = np.array(one.truth["scans"][tracer]["rigid_T1w_to_frame"][frame["index"]])
        mean, worst = errors_mm(found, apply_affine(truth, one.brain_points))
        assert mean < 1.0 and worst < 2.0


def test_t1w_to_mni(one):
    image = nib.load(one.folder / f"sub-{SUBJECT}_from-MNI_to-T1w_points.nii.gz")
    truth = np.asarray(image.dataobj).squeeze()
    brain = atlas.brain_mask(truth.shape[:3], image.affine)
    points = apply_affine(image.affine, np.argwhere(brain).astype(float))
    mean, worst = errors_mm(mni_to_t1w(one.registered, SUBJECT, points), truth[brain])
    affine_mean, _ = errors_mm(
        mni_to_t1w(one.registered, SUBJECT, points, deform=False), truth[brain]
    )
    assert mean < 2.0 and worst < 10.0
    assert mean < 0.5 * affine_mean


@pytest.mark.parametrize("tracer", ["tau", "amyloid", "tspo"])
def test_suvr_of_every_region(one, tracer):
    found = nib.load(one.normalized / paths.preprocessed_pet(SUBJECT, tracer))
    file = one.folder / f"sub-{SUBJECT}_trc-{tracer}_space-MNI_desc-noisefree_pet.nii.gz"
    truth = nib.load(file)
    blurred = ndimage.gaussian_filter(np.asarray(truth.dataobj), PSF_MM / 2.3548 / 2.0)
    # A scanner blurs the reference region too: what a perfect pipeline would divide by.
    region = one.study["tracers"][tracer]["reference_region"]
    blurred /= blurred[atlas.reference_mask(region, blurred.shape, truth.affine)].mean()
    to_truth = np.linalg.inv(truth.affine) @ found.affine
    expected = ndimage.affine_transform(
        blurred, to_truth[:3, :3], to_truth[:3, 3], output_shape=found.shape, order=1
    )
    labels = atlas.region_labels(found.shape, found.affine)
    data = np.asarray(found.dataobj)
    error = {
        name: data[labels == value].mean() - expected[labels == value].mean()
        for name, value in atlas.REGIONS.items()
        if (labels == value).sum() >= 20
    }
    assert len(error) >= 14
    assert np.abs(list(error.values())).mean() < 0.08, error
    assert max(map(abs, error.values())) < 0.25, error
