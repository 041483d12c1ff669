"""A method that knows an asymmetric truth: it comes out where it is, in SUVR, for everybody."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from relad import cli
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr, to_unit
from relad.results.records import read_synthesis
from relad.steps.evaluate import evaluate
from relad.study import paths
from tests.helpers.fake_study import amend
from tests.helpers.packing import write_packed
from tests.helpers.settings import file_of, study
from tests.helpers.trainings import settings, train


@pytest.mark.parametrize("scaling", ["voxel_mean", "window"])
def test_what_a_method_knows_comes_out_where_it_is(tmp_path, scaling):
    """The mean template knows PET that all share: no axis turned, no tracer or window mixed up."""
    packed = write_packed(tmp_path / "packed", shape=(14, 12, 16))
    random = np.random.default_rng(0)
    amend(packed / "dataset.json", windows={"tspo": [0.5, 3.0]})
    pet, mask = np.load(packed / "pet.npy"), np.load(packed / "mask.npy")
    shared = random.uniform(-0.9, 1.5, pet[0].shape).astype(np.float32)
    for k, window in enumerate(PackedDataset(packed).windows.values()):
        pet[:, k] = np.where(mask, shared[k], to_unit(0.0, window))
    np.save(packed / "pet.npy", pet)
    data = PackedDataset(packed)
    assert train(packed, tmp_path / "model", "template", settings(scaling=scaling)) == 0
    out = tmp_path / "out"
    command = ["synthesize", str(tmp_path / "model"), str(packed), str(out)]
    assert cli.main([*command, "--settings", file_of(study(sampling={"batch_size": 4}))]) == 0
    for i, k in data.pairs(0, "test"):
        name = data.subjects[i]["subject"], data.tracers[k]
        image = nib.load(out / paths.synthetic_pet(*name))
        expected = np.where(mask[i], to_suvr(shared[k], data.windows[name[1]]), 0)
        np.testing.assert_allclose(image.get_fdata(), expected, atol=1e-5)
        np.testing.assert_allclose(image.affine, data.affine)
    rows = list(evaluate(read_synthesis(out), data))
    assert {row["metric"] for row in rows} >= {"psnr", "ssim", "mae"}
    assert all(float(row["value"]) < 1e-5 for row in rows if row["metric"] == "mae")
    assert all(float(row["value"]) > 0.9999 for row in rows if row["metric"] == "ssim")
