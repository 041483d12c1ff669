from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from relad import cli, config, paths
from relad.dataset import PackedDataset
from tests.packing import WINDOWS, write_packed
from tests.test_training import train

SAMPLING = json.dumps({"sampling": config.load()["sampling"]})


@pytest.fixture(scope="module")
def models(packed, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for method in ("rela", "template"):
        assert train(packed, root / method, method) == 0
    return root


def synthesize(model, packed, out, *options):
    return cli.main(
        ["synthesize", str(model), str(packed), str(out), "--settings", SAMPLING, *options]
    )


@pytest.mark.parametrize("method", ["rela", "template"])
def test_only_held_out_subjects_in_suvr_on_the_packed_grid(models, packed, tmp_path, method):
    out = tmp_path / "out"
    assert synthesize(models / method, packed, out, "--steps", "3") == 0
    data = PackedDataset(packed)
    held_out = [row for row in data.subjects if row["fold"] == 0]
    expected = {
        paths.synthetic_pet(row["subject"], tracer) for row in held_out for tracer in data.tracers
    }
    assert {p.name for p in out.iterdir()} == expected | {"synthesis.json"}
    for row in held_out:
        image = nib.load(out / paths.synthetic_pet(row["subject"], "tau"))
        values = image.get_fdata()
        mask = data.mask[row["index"]]
        np.testing.assert_allclose(image.affine, data.affine)
        assert (values[~mask] == 0).all()
        assert values.min() >= WINDOWS["tau"][0]
        assert "simulated" in str(image.header["descrip"])
    info = json.loads((out / "synthesis.json").read_text())
    assert info["evaluations"] == (3 if method == "rela" else 1)
    assert info["sampler"] == ("ddim-3" if method == "rela" else "forward")
    assert info["seconds_per_volume"] > 0


def test_an_external_cohort_is_synthesised_whole(models, packed_external, tmp_path):
    assert synthesize(models / "template", packed_external, tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 6


def test_a_volume_does_not_depend_on_its_neighbours_and_repeats(models, packed, tmp_path):
    names = []
    for name in "ab":
        assert synthesize(models / "rela", packed, tmp_path / name, "--steps", "2") == 0
    for file in sorted((tmp_path / "a").glob("*.nii.gz")):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
        names.append(nib.load(file).get_fdata())
    assert not np.array_equal(names[0], names[1])


def test_samplers_are_chosen_without_training_again(models, packed, tmp_path):
    volumes = {}
    for sampler in ("ddim", "ddpm"):
        out = tmp_path / sampler
        assert synthesize(models / "rela", packed, out, "--sampler", sampler, "--steps", "4") == 0
        volumes[sampler] = nib.load(next(out.glob("*.nii.gz"))).get_fdata()
    assert not np.array_equal(volumes["ddim"], volumes["ddpm"])


def test_damaged_weights_and_foreign_tracers_are_one_line(models, packed, tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.json").write_bytes((models / "template" / "train.json").read_bytes())
    assert synthesize(model, packed, tmp_path / "out") == 2
    assert "no such weights" in capsys.readouterr().err
    (model / "model.safetensors").write_bytes(b"damaged")
    assert synthesize(model, packed, tmp_path / "out") == 2
    assert "model.safetensors" in capsys.readouterr().err

    other = write_packed(tmp_path / "other", subjects=3)
    info = json.loads((other / "dataset.json").read_text())
    info["tracers"] = ["tau", "amyloid", "fdg"]
    info["windows"]["fdg"] = [0, 3]
    (other / "dataset.json").write_text(json.dumps(info))
    assert synthesize(models / "template", other, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "fdg" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
