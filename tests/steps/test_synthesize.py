from __future__ import annotations

import argparse
import json
import shutil
from itertools import combinations

import nibabel as nib
import numpy as np
import pytest
import torch

from relad import cli
from relad.compute.randomness import generator_for
from relad.data.batches import Volumes, input_channels
from relad.data.dataset import PackedDataset
from relad.fileio import read_table, write_table
from relad.methods.synthesis import Samples, draw, load_model
from relad.results.records import read_synthesis
from relad.status import Kind
from relad.steps.evaluate import evaluate
from relad.steps.synthesize import choose_sampling
from relad.study import paths
from relad.study.sampling import SAMPLERS, Sampling
from relad.study.settings import SynthesizeSettings
from tests.helpers.packing import WINDOWS, write_packed
from tests.helpers.settings import file_of, of, study
from tests.helpers.trainings import train

SAMPLING = file_of(study())


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
    assert synthesize(models / method, packed, out, "--sampler", "ddim", "--steps", "3") == 0
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
        assert image.header["descrip"].tobytes().startswith(b"SIMULATED DATA, synthetic PET")
    info = json.loads((out / "synthesis.json").read_text())
    assert info["evaluations"] == (3 if method == "rela" else 1)
    assert info["sampler"] == ("ddim-3" if method == "rela" else "forward")
    assert info["seconds_per_volume"] > 0


@pytest.mark.parametrize(
    ("cohort", "model", "kind", "mark"),
    [
        ("real", "real", "real", b"synthetic PET"),
        ("real", "simulated", "simulated", b"SIMULATED DATA, synthetic PET"),
        ("real", "hybrid", "hybrid", b"REAL MRI, SIMULATED PET, synthetic PET"),
        ("simulated", "hybrid", "simulated", b"SIMULATED DATA, synthetic PET"),
    ],
)
def test_what_a_model_learnt_from_simulated_scans_is_simulated(
    models, packed_external, tmp_path, cohort, model, kind, mark
):
    """Whoever's MRI it was given; and every value that is taken of it tells both."""
    shutil.copytree(packed_external, tmp_path / "packed")
    shutil.copytree(models / "template", tmp_path / "model")
    for file, its in (("packed/dataset.json", cohort), ("model/train.json", model)):
        told = json.loads((tmp_path / file).read_text())
        (tmp_path / file).write_text(json.dumps(told | {"kind": its}))
    assert synthesize(tmp_path / "model", tmp_path / "packed", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out/synthesis.json").read_text())["kind"] == kind
    for file in (tmp_path / "out").glob("*.nii.gz"):
        assert nib.load(file).header["descrip"].tobytes().startswith(mark)
    data = PackedDataset(tmp_path / "packed")
    rows = list(evaluate(read_synthesis(tmp_path / "out"), data))
    (told,) = {row["data"] for row in rows}
    assert told is Kind.of_results(Kind(cohort), Kind(model))
    assert told.startswith(cohort) and told.endswith(kind)


def test_a_cohort_that_was_packed_again_is_refused(models, packed, tmp_path, capsys):
    """Cut into other folds, its held-out people may be those that the model was trained on."""
    shutil.copytree(packed, tmp_path / "packed")
    table = tmp_path / "packed" / "subjects.tsv"
    rows = read_table(table)
    for row in rows:
        row["fold"] = {"0": "1", "1": "0"}.get(row["fold"], row["fold"])
    write_table(table, rows, list(rows[0]))
    assert synthesize(models / "template", tmp_path / "packed", tmp_path / "out") == 2
    assert "held-out people may be people it saw" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_people_without_pet_are_synthesised_and_compared_with_nothing(models, tmp_path, capsys):
    folder = write_packed(tmp_path / "clinic", subjects=2, cohort="clinic", role="apply", seed=1)
    (folder / "pet.npy").unlink()
    out = tmp_path / "out"
    assert synthesize(models / "rela", folder, out, "--sampler", "ddim", "--steps", "2") == 0
    external = write_packed(tmp_path / "away", subjects=2, cohort="away", role="external", seed=1)
    known = tmp_path / "known"
    assert synthesize(models / "rela", external, known, "--sampler", "ddim", "--steps", "2") == 0
    images = {file.name: nib.load(file).get_fdata() for file in out.glob("*.nii.gz")}
    assert len(images) == 6
    for name, image in images.items():
        np.testing.assert_array_equal(image, nib.load(known / name).get_fdata())
    assert cli.main(["evaluate", str(out), str(tmp_path / "a.csv"), "--packed", str(folder)]) == 2
    assert "holds no PET to compare with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "key", "other"), [("grid", "voxel_mm", 9.0), ("registration", "to_mni", "affine")]
)
def test_people_who_were_preprocessed_in_another_way_are_refused(
    models, packed_external, tmp_path, capsys, section, key, other
):
    ours = {"grid": {"voxel_mm": 8.0}, "registration": {"to_mni": "syn", "threads": 1}}
    for source, name, file in (
        (packed_external, "packed", "dataset.json"),
        (models / "template", "model", "train.json"),
    ):
        shutil.copytree(source, tmp_path / name)
        told = json.loads((tmp_path / name / file).read_text())
        (tmp_path / name / file).write_text(json.dumps(told | {"preprocessing": ours}))
    words = (tmp_path / "model", tmp_path / "packed", tmp_path / "out")
    assert synthesize(*words) == 0
    file = tmp_path / "packed" / "dataset.json"
    for changed, status in (({"registration": ours["registration"] | {"threads": 2}}, 0),
                            ({section: ours[section] | {key: other}}, 2)):  # fmt: skip
        told = json.loads(file.read_text())
        file.write_text(json.dumps(told | {"preprocessing": ours | changed}))
        assert synthesize(*words) == status
    assert f"in another way than the people that {words[0]} was" in (
        said := capsys.readouterr().err
    )
    assert f"({section}.{key})" in said


def test_an_external_cohort_is_synthesised_whole(models, packed_external, tmp_path):
    assert synthesize(models / "template", packed_external, tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 6


def test_a_volume_does_not_depend_on_its_batch(models, packed, tmp_path):
    """Noise and all: in batches of any size the same to rounding, samples and spread included."""
    options = ("--sampler", "ddpm", "--steps", "3", "--samples", "2")
    for size in (1, 3, 4):
        settings = file_of(study(sampling={"batch_size": size}))
        out = tmp_path / str(size)
        command = ["synthesize", str(models / "rela"), str(packed), str(out), *options]
        assert cli.main([*command, "--settings", settings]) == 0
        assert json.loads((out / "synthesis.json").read_text())["batch_size"] == size
    alone = sorted((tmp_path / "1").glob("*.nii.gz"))
    assert len(alone) == 24  # image, spread and two samples of two subjects and three tracers
    for file in alone:
        expected = nib.load(file).get_fdata()
        # A sample is rounded to steps of its scale.
        step = float(np.abs(expected).max()) / 32767 if "desc-sample" in file.name else 0.0
        for size in (3, 4):
            image = nib.load(tmp_path / str(size) / file.name).get_fdata()
            np.testing.assert_allclose(image, expected, atol=1e-5 + step)


def test_synthesis_repeats_to_the_bit_and_volumes_differ(models, packed, tmp_path):
    names = []
    for name in "ab":
        assert (
            synthesize(
                models / "rela", packed, tmp_path / name, "--sampler", "ddpm", "--steps", "2"
            )
            == 0
        )
    for file in sorted((tmp_path / "a").glob("*.nii.gz")):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
        names.append(nib.load(file).get_fdata())
    assert not np.array_equal(names[0], names[1])


def test_samplers_are_chosen_without_training_again(models, packed, tmp_path):
    volumes = {}
    for sampler in SAMPLERS:
        out = tmp_path / sampler
        steps = 1 if sampler == "regression" else 4
        options = ("--sampler", sampler, "--steps", str(steps))
        assert synthesize(models / "rela", packed, out, *options) == 0
        info = json.loads((out / "synthesis.json").read_text())
        assert (info["sampler"], info["evaluations"]) == (f"{sampler}-{steps}", steps)
        volumes[sampler] = nib.load(next(out.glob("*.nii.gz"))).get_fdata()
    for one, other in combinations(SAMPLERS, 2):
        alike = {one, other} == {"ddim", "euler"}  # one method, by the names of two papers
        assert np.array_equal(volumes[one], volumes[other]) == alike


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_the_temperature_is_of_the_command_line_else_of_the_settings(
    models, packed, tmp_path, sampler
):
    """Of the same noise, so that what is not the temperature's would be equal."""
    at = {}
    for temperature in ("1", "1.5"):
        out = tmp_path / temperature
        options = ("--sampler", sampler, "--steps", "3", "--temperature", temperature)
        assert synthesize(models / "rela", packed, out, *options) == 0
        at[temperature] = (
            json.loads((out / "synthesis.json").read_text())["sampler"],
            nib.load(next(out.glob("*.nii.gz"))).get_fdata(),
        )
    assert (at["1"][0], at["1.5"][0]) == (f"{sampler}-3", f"{sampler}-3-t1.5")
    assert not np.array_equal(at["1"][1], at["1.5"][1])
    warm = file_of(study(sampling={"sampler": sampler, "steps": 3, "temperature": 1.5}))
    given = [str(models / "rela"), str(packed), str(tmp_path / "out"), "--settings", warm]
    assert cli.main(["synthesize", *given]) == 0
    image = nib.load(next((tmp_path / "out").glob("*.nii.gz"))).get_fdata()
    assert np.array_equal(image, at["1.5"][1])


def test_mean_and_spread_of_samples_are_written_in_suvr(models, packed, tmp_path):
    """The mean of K samples and their standard deviation, and the first of K is the only of one."""
    options = ("--sampler", "ddpm", "--steps", "3")
    assert synthesize(models / "rela", packed, tmp_path / "3", *options, "--samples", "3") == 0
    data = PackedDataset(packed)
    subject = next(row for row in data.subjects if row["fold"] == 0)
    i, k = subject["index"], data.tracers.index("amyloid")
    method, space, info = load_model(models / "rela", torch.device("cpu"))
    channels = input_channels(data, ["T1w", "FLAIR"])
    given = Volumes(data, channels, torch.device("cpu")).given([(i, k)], space)
    samples = [
        draw(
            method,
            space,
            given,
            Sampling("ddpm", 3),
            [data.windows["amyloid"]],
            [generator_for("synthesis", info["seed"], subject["subject"], "amyloid", number)],
        )[0]
        for number in range(3)
    ]
    for name, expected in (
        (paths.synthetic_pet, np.mean(samples, axis=0)),
        (paths.spread_pet, np.std(np.float64(samples), axis=0, ddof=1)),
    ):
        file = tmp_path / "3" / name(subject["subject"], "amyloid")
        image = nib.load(file)
        np.testing.assert_allclose(image.get_fdata(), expected, atol=1e-5)
        np.testing.assert_allclose(image.affine, data.affine)
        assert "SUVR" in str(image.header["descrip"])
    for number, expected in enumerate(samples, start=1):
        file = tmp_path / "3" / paths.sample_pet(subject["subject"], "amyloid", number)
        written = nib.load(file)
        step = np.abs(expected).max() / 65534  # an int16 and a scale
        np.testing.assert_allclose(written.get_fdata(), expected, atol=1e-5 + step)
        assert not written.get_fdata()[~data.mask[i]].any()
        assert written.get_data_dtype() == np.int16
        note = written.header["descrip"].tobytes()
        assert note.startswith(b"SIMULATED DATA, synthetic PET, sample %d of 3, SUVR" % number)
    spread = image.get_fdata()
    assert spread[data.mask[i]].max() > 0 and not spread[~data.mask[i]].any()
    written = json.loads((tmp_path / "3" / "synthesis.json").read_text())
    assert [written[key] for key in ("sampler", "evaluations", "samples")] == ["ddpm-3x3", 9, 3]
    assert synthesize(models / "rela", packed, tmp_path / "1", *options) == 0
    one = nib.load(tmp_path / "1" / paths.synthetic_pet(subject["subject"], "amyloid"))
    np.testing.assert_allclose(one.get_fdata(), samples[0], atol=1e-5)
    assert not [*(tmp_path / "1").glob("*desc-spread*"), *(tmp_path / "1").glob("*desc-sample*")]


def test_another_entry_samples_the_model_under_its_own_name(models, packed, tmp_path, capsys):
    sampled = {"sampling": {"sampler": "ddim", "steps": 2, "samples": 2}, "trained_as": "rela"}
    settings = file_of(
        study(
            methods={
                "rela-sampled": sampled,
            }
        )
    )
    given = ["synthesize", str(models / "rela"), str(packed), str(tmp_path / "out")]
    given += ["--settings", settings, "--method"]
    assert cli.main([*given, "rela-sampled"]) == 0
    told = read_synthesis(tmp_path / "out")
    assert (told.method, told.sampler, told.samples) == ("rela-sampled", "ddim-2x2", 2)
    header = nib.load(next((tmp_path / "out").glob("*desc-synthetic*"))).header
    assert header["descrip"].tobytes().rstrip(b"\0").endswith(b"SUVR, rela-sampled")
    settings = file_of(study(methods={"mine": {**sampled, "trained_as": "mine"}}))
    given[given.index("--settings") + 1] = settings
    assert cli.main([*given, "mine"]) == 2
    assert "is a model of rela, but mine samples one of mine" in capsys.readouterr().err
    assert cli.main([*given, "nope"]) == 2
    assert "no method 'nope' -- known: mine" in capsys.readouterr().err


def test_a_method_that_is_not_random_makes_one_image_and_no_spread(models, packed, tmp_path):
    assert synthesize(models / "template", packed, tmp_path / "out", "--samples", "5") == 0
    assert not list((tmp_path / "out").glob("*desc-spread*"))
    assert json.loads((tmp_path / "out" / "synthesis.json").read_text())["evaluations"] == 1


def test_samples_are_summed_without_loss():
    """Mean and spread of values far from zero, against NumPy in float64."""
    samples = 1000 + np.random.default_rng(0).normal(size=(7, 2, 3, 4)).astype(np.float32)
    summed = Samples()
    for sample in samples:
        summed.add(sample)
    np.testing.assert_allclose(summed.mean, np.float64(samples).mean(0), rtol=1e-7)
    np.testing.assert_allclose(summed.spread, np.float64(samples).std(0, ddof=1), rtol=1e-5)
    one = Samples()
    one.add(samples[0])
    np.testing.assert_array_equal(one.mean, samples[0])
    assert one.spread is None


def test_sampling_of_the_command_line_goes_before_the_entry_before_the_study():
    def chosen(own, **given):
        names = ("sampler", "steps", "samples", "temperature")
        given = dict.fromkeys(names) | given
        args = argparse.Namespace(**given)
        sampling = {"sampler": "ddim", "steps": 7, "samples": 1}
        methods = {"rela": {"sampling": own, "trained_as": "rela"}}
        settings = of(SynthesizeSettings, sampling=sampling, methods=methods)
        return choose_sampling("rela", args, settings).name

    assert chosen({}) == "ddim-7"
    assert chosen({"sampler": "dpmpp"}) == "dpmpp-7"
    assert chosen({"sampler": "dpmpp"}, sampler="ddpm", samples=2) == "ddpm-7x2"
    assert chosen({"temperature": 1.5}) == "ddim-7-t1.5"
    assert chosen({"temperature": 1.5}, temperature=2.0) == "ddim-7-t2"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sampler", "ddim", "--steps", "0"), "steps of at least 1, not 0"),
        (("--sampler", "regression", "--steps", "5"), "--steps 5, but the sampler regression"),
        (("--samples", "0"), "samples of at least 1, not 0"),
        (("--sampler", "ddim", "--steps", "1001"), "1001 sampling steps, but the model has 1000"),
    ],
)
def test_an_impossible_sampling_is_one_line(models, packed, tmp_path, capsys, options, said):
    assert synthesize(models / "rela", packed, tmp_path / "out", *options) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
    rows = read_table(other / "subjects.tsv")
    for row in rows:
        row["tracers"] = row["tracers"].replace("tspo", "fdg")
    write_table(other / "subjects.tsv", rows, list(rows[0]))
    assert synthesize(models / "template", other, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "fdg" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
