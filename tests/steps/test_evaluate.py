"""``relad evaluate``: rows, reference values, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relad.cli import main
from relad.errors import ReladError
from relad.fileio import read_json, read_table, write_json
from relad.imaging.nifti import load_nifti, save_nifti
from relad.results.metrics import METRICS, compare, mask_of
from relad.results.metrics.ensemble import crps
from relad.results.scores import COLUMNS
from relad.results.study import Study
from relad.study import paths
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import AFFINE, FakeStudy, amend

MAIN = ("psnr", "ssim", "mae")
VOXEL = (8.0, 8.0, 8.0)


@pytest.fixture
def study(tmp_path: Path) -> FakeStudy:
    return FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2})


def refused(study: FakeStudy, capsys: pytest.CaptureFixture[str], cohort: str = "study") -> str:
    assert study.evaluate(cohort, "unet") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not study.metrics(cohort, "unet").exists()
    return error


def test_rows_are_the_held_out_subjects_of_the_training_cohort(study):
    assert study.evaluate("study", "unet") == 0
    rows = read_table(study.metrics("study", "unet"))
    assert list(rows[0]) == list(COLUMNS)
    rows = [row for row in rows if row["metric"] in MAIN]
    # Two held-out subjects; the last one lacks amyloid PET.
    assert [(r["subject"], r["tracer"], r["metric"]) for r in rows] == [
        (subject, tracer, metric)
        for subject, tracer in [
            ("941S0003", "tau"),
            ("941S0003", "amyloid"),
            ("941S0004", "tau"),
        ]
        for metric in MAIN
    ]
    same = {"cohort": "study", "method": "unet", "sampler": "forward", "fold": "0", "seed": "0"}
    same |= {"data": "simulated", "region": "brain"}
    assert all({**r, **same} == r for r in rows)


@pytest.mark.parametrize("kind", ["real", "hybrid"])
def test_every_row_says_what_its_data_are(tmp_path, kind):
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2}, kind=kind)
    study.evaluate("study", "unet")
    assert {row["data"] for row in read_table(study.metrics("study", "unet"))} == {kind}


def test_rows_tell_people_from_what_the_method_learnt_from(tmp_path):
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2}, kind="hybrid")
    amend(study.synthesized("study", "unet") / "synthesis.json", kind="simulated")
    study.evaluate("study", "unet")
    table = study.metrics("study", "unet")
    assert {row["data"] for row in read_table(table)} == {"hybrid, learnt from simulated"}
    assert read_json(table.with_suffix(".json"))["kind"] == "hybrid, learnt from simulated"


def test_a_tracer_that_the_method_was_not_trained_for_is_not_compared(study, capsys):
    folder = study.synthesized("study", "unet")
    amend(folder / "synthesis.json", untrained=["amyloid"])
    for file in folder.rglob("*amyloid*"):
        file.unlink()
    assert study.evaluate("study", "unet") == 0
    assert {row["tracer"] for row in read_table(study.metrics("study", "unet"))} == {"tau"}
    assert "unet was not trained for amyloid" in capsys.readouterr().err


def test_pet_of_another_packing_of_the_cohort_is_refused(study, capsys):
    amend(study.synthesized("study", "unet") / "synthesis.json", data="packed before")
    assert "was synthesised from another study" in refused(study, capsys)


def test_every_subject_of_an_external_cohort_is_compared(study):
    assert study.evaluate("elsewhere", "unet") == 0
    rows = read_table(study.metrics("elsewhere", "unet"))
    assert {row["subject"] for row in rows} == {f"942S000{i}" for i in (1, 2, 3, 4)}


def test_values_are_those_of_the_real_suvr_inside_the_mask(study):
    study.evaluate("study", "unet")
    for subject, tracer in [("941S0003", "tau"), ("941S0003", "amyloid"), ("941S0004", "tau")]:
        image = load_nifti(
            study.synthesized("study", "unet") / paths.synthetic_pet(subject, tracer)
        )
        width = {"tau": 4.0, "amyloid": 3.0}[tracer]
        images = np.asarray(image.dataobj), study.truth["study", subject, tracer]
        expected = compare(*images, study.mask, width, voxel_mm=VOXEL)
        written = {
            row["metric"]: float(row["value"])
            for row in read_table(study.metrics("study", "unet"))
            if (row["subject"], row["tracer"], row["region"]) == (subject, tracer, "brain")
        }
        assert written == pytest.approx(expected, rel=1e-5)


def test_the_error_that_was_put_in_comes_out(study):
    # Each fake error has a standard deviation of exactly 0.2 SUVR for a subject's first scale.
    study.evaluate("study", "unet")
    first = next(r for r in read_table(study.metrics("study", "unet")) if r["metric"] == "psnr")
    assert float(first["value"]) == pytest.approx(20 * np.log10(4.0 / 0.2), abs=1e-3)


def test_same_input_same_bytes(study):
    study.evaluate("study", "unet")
    files = [study.metrics("study", "unet").with_suffix(suffix) for suffix in (".csv", ".json")]
    before = [file.read_bytes() for file in files]
    study.evaluate("study", "unet")
    assert [file.read_bytes() for file in files] == before


def test_the_record_states_data_range_and_kind(study):
    study.evaluate("study", "unet")
    record = json.loads(study.metrics("study", "unet").with_suffix(".json").read_text())
    assert record["data_range_suvr"] == {"tau": 4.0, "amyloid": 3.0}
    assert record["voxel_mm"] == pytest.approx(VOXEL)
    assert "sigma 1.5 voxels, 12 mm" in record["notes"]["hfen"]
    assert record["kind"] == "simulated"
    assert record["provenance"]["step"] == "evaluate"


def test_a_missing_synthetic_image_is_named(study, capsys):
    missing = study.synthesized("study", "unet") / paths.synthetic_pet("941S0004", "tau")
    missing.unlink()
    message = refused(study, capsys)
    assert "no synthetic tau PET of subject 941S0004" in message
    assert missing.name in message


def test_a_constant_synthetic_image_is_judged(study):
    file = study.synthesized("study", "unet") / paths.synthetic_pet("941S0004", "tau")
    save_nifti(file, np.zeros(study.shape, np.float32), AFFINE)
    assert study.evaluate("study", "unet") == 0


def test_refuses_another_grid(study, capsys):
    file = study.synthesized("study", "unet") / paths.synthetic_pet("941S0004", "tau")
    moved = AFFINE.copy()
    moved[2, 3] += 4
    save_nifti(file, study.truth["study", "941S0004", "tau"], moved)
    assert "corners lie up to 4 mm apart" in refused(study, capsys)


def test_refuses_nan(study, capsys):
    file = study.synthesized("study", "unet") / paths.synthetic_pet("941S0004", "tau")
    save_nifti(file, np.full(study.shape, np.nan, np.float32), AFFINE)
    assert "NaN" in refused(study, capsys)


def test_refuses_pet_of_another_cohort(study, capsys):
    arguments = [study.synthesized("study", "unet"), study.root / "x.csv"]
    packed = ["--packed", study.packed("elsewhere")]
    assert main(["evaluate", *map(str, [*arguments, *packed])]) == 2
    assert "PET of cohort study" in capsys.readouterr().err


def test_refuses_settings_of_another_window(study, capsys):
    study.settings["tracers"]["tau"]["suvr_window"] = [0.0, 5.0]
    assert "was packed with SUVR window [0.0, 4.0]" in refused(study, capsys)


def test_refuses_settings_of_other_voxels(study, capsys):
    study.settings["grid"]["voxel_mm"] = 4.0
    assert "packed with voxels of 8 x 8 x 8 mm, the settings say 4" in refused(study, capsys)


def test_a_value_that_is_no_number_is_refused_with_its_image(study, capsys):
    pet = np.load(study.packed("study") / "pet.npy")
    pet[2, 0] = 0.5  # the whole brain of one value, which has no detail to be compared with
    np.save(study.packed("study") / "pet.npy", pet)
    told = "tau: hfen, spectral_low, spectral_middle, spectral_high of the brain is not a number"
    message = refused(study, capsys)
    assert f"subject 941S0003, {told}" in message
    assert paths.synthetic_pet("941S0003", "tau") in message


def test_refuses_a_folder_without_its_record(study, capsys):
    (study.synthesized("study", "unet") / "synthesis.json").unlink()
    assert "synthesis.json: no such file" in refused(study, capsys)


def test_refuses_an_incomplete_record(study, capsys):
    write_json(study.synthesized("study", "unet") / "synthesis.json", {"cohort": "study"})
    assert "lacks method, sampler, fold, seed, kind" in refused(study, capsys)


# --- several samples ----------------------------------------------------------------------------


@pytest.fixture
def sampled(tmp_path: Path) -> FakeStudy:
    """A diffusion method whose image is the mean of eight samples."""
    study = FakeStudy(tmp_path, subjects=4, errors={"rela": 0.2})
    study.synthesize("study", "rela", sampler="ddim-25x8")
    return study


def by_sampler(file: Path) -> dict[str, dict[str, float]]:
    """Sampler -> values of one scan."""
    found: dict[str, dict[str, float]] = {}
    for row in read_table(file):
        if (row["subject"], row["tracer"], row["region"]) == ("941S0003", "tau", "brain"):
            found.setdefault(row["sampler"], {})[row["metric"]] = float(row["value"])
    return found


def test_all_samples_are_scored_and_the_first_is_an_image_of_its_own(sampled):
    assert sampled.evaluate("study", "rela") == 0
    found = by_sampler(sampled.metrics("study", "rela"))
    assert list(found) == ["ddim-25x8", "ddim-25"]
    folder, scan = sampled.synthesized("study", "rela"), ("941S0003", "tau")
    truth = sampled.truth["study", *scan]
    files = [folder / paths.sample_pet(*scan, n) for n in range(1, 9)]
    samples = [load_nifti(file).get_fdata(dtype=np.float32) for file in files]
    image = load_nifti(folder / paths.synthetic_pet(*scan)).get_fdata()
    inside = np.stack(samples)[:, sampled.mask]
    of_mean = compare(image, truth, sampled.mask, 4.0, voxel_mm=VOXEL, samples=inside)
    of_one = compare(samples[0], truth, sampled.mask, 4.0, voxel_mm=VOXEL)
    assert found["ddim-25x8"] == pytest.approx(of_mean, rel=1e-5)
    assert found["ddim-25"] == pytest.approx(of_one, rel=1e-5)
    assert found["ddim-25"]["crps"] == pytest.approx(found["ddim-25"]["mae"])
    assert found["ddim-25x8"]["crps"] < found["ddim-25x8"]["mae"]
    assert found["ddim-25x8"]["psnr"] > found["ddim-25"]["psnr"]
    spread = {"spread_skill", "coverage_50", "coverage_80", "coverage_90"}
    assert set(found["ddim-25x8"]) - set(found["ddim-25"]) == spread


def test_the_first_sample_alone_is_left_out_where_it_has_a_run_of_its_own(sampled, tmp_path):
    given = [sampled.synthesized("study", "rela"), tmp_path / "x.csv"]
    given += ["--packed", sampled.packed("study"), "--image-only"]
    assert main(["evaluate", *map(str, given)]) == 0
    assert list(by_sampler(tmp_path / "x.csv")) == ["ddim-25x8"]


def test_a_missing_sample_is_named(sampled, capsys):
    missing = sampled.synthesized("study", "rela") / paths.sample_pet("941S0004", "tau", 8)
    missing.unlink()
    assert sampled.evaluate("study", "rela") == 2
    assert missing.name in capsys.readouterr().err
    assert not sampled.metrics("study", "rela").exists()


def test_samples_that_are_one_image_are_refused(sampled, capsys):
    """A sampler that forgets its seed: spread 0, coverage 0, and nobody would ask why."""
    folder = sampled.synthesized("study", "rela")
    one, other = (folder / paths.sample_pet("941S0003", "tau", n) for n in (2, 5))
    shutil.copy(one, other)
    assert sampled.evaluate("study", "rela") == 2
    said = capsys.readouterr().err
    assert "subject 941S0003, tau: samples 2 and 5 are the same image: does the" in said
    assert not sampled.metrics("study", "rela").exists()


def test_an_image_that_is_not_the_mean_of_its_samples_is_refused(sampled, capsys):
    folder = sampled.synthesized("study", "rela")
    for n in range(1, 9):
        shutil.copy(
            folder / paths.sample_pet("941S0004", "tau", n),
            folder / paths.sample_pet("941S0003", "tau", n),
        )
    assert sampled.evaluate("study", "rela") == 2
    said = capsys.readouterr().err
    assert "941S0003, tau: the image is not the mean of its samples" in said
    assert said.rstrip().endswith(" -- run `relad synthesize` again")


def test_samples_are_scored_in_regions_of_peoples_own_too(sampled):
    folder = sampled.packed("study")
    half = np.zeros((4, 1, *sampled.shape), bool)
    half[:, 0, 7:] = sampled.mask[7:]
    np.save(folder / "regions.npy", half)
    sampled.settings["segmentation"]["regions"] = {"right": ["A"]}
    amend(folder / "dataset.json", regions={"right": ["A"]})
    assert sampled.evaluate("study", "rela") == 0
    rows = read_table(sampled.metrics("study", "rela"))
    found = {
        (row["sampler"], row["metric"]): float(row["value"])
        for row in rows
        if (row["subject"], row["tracer"], row["region"]) == ("941S0003", "tau", "right")
    }
    samples = np.stack(
        [
            load_nifti(
                sampled.synthesized("study", "rela") / paths.sample_pet("941S0003", "tau", n)
            ).get_fdata(dtype=np.float32)
            for n in range(1, 9)
        ]
    )
    mask = sampled.mask & half[2, 0]
    expected = crps(samples[:, mask], sampled.truth["study", "941S0003", "tau"][mask])
    assert found["ddim-25x8", "crps"] == pytest.approx(expected, rel=1e-5)
    assert set(found) == {
        (sampler, metric)
        for sampler in ("ddim-25x8", "ddim-25")
        for metric in ("psnr", "mae", "crps", "suvr", "suvr_true")
    }


# --- regions of people's own segmentations -------------------------------------------------------


@pytest.fixture
def own(study) -> dict[str, np.ndarray]:
    """Two regions of everybody's own in the first cohort: a quarter that is not the atlas's."""
    folder = study.packed("study")
    quarter = np.zeros((4, 2, *study.shape), bool)
    for person in range(4):
        quarter[person, 0, :7, : 5 + person] = True
        quarter[person, 1, 7:, : 5 + person] = True
    np.save(folder / "regions.npy", quarter & study.mask)  # labels are of the brain
    regions = {"thalamus": ["A"], "entorhinal": ["B", "C"]}
    amend(folder / "dataset.json", regions=regions)
    study.settings["segmentation"]["regions"] = regions
    return {f"941S{i + 1:04d}": masks for i, masks in enumerate(quarter)}


def values(study: FakeStudy, cohort: str, region: str, metric: str) -> dict[str, float]:
    return {
        row["subject"]: float(row["value"])
        for row in read_table(study.metrics(cohort, "unet"))
        if (row["region"], row["metric"], row["tracer"]) == (region, metric, "tau")
    }


def test_metrics_are_taken_in_everybodys_own_regions(study, own):
    assert study.evaluate("study", "unet") == 0
    window = 4.0
    for number, region in enumerate(("thalamus", "entorhinal")):
        found = values(study, "study", region, "mae")
        assert list(found) == ["941S0003", "941S0004"]
        for subject, value in found.items():
            file = study.synthesized("study", "unet") / paths.synthetic_pet(subject, "tau")
            images = load_nifti(file).get_fdata(), study.truth["study", subject, "tau"]
            mask = study.mask & own[subject][number]
            assert value == pytest.approx(compare(*images, mask, window)["mae"], rel=1e-5)
    assert values(study, "study", "entorhinal", "ssim") == {}  # of the brain alone
    record = json.loads(study.metrics("study", "unet").with_suffix(".json").read_text())
    found = record["regions_from"]
    assert {r for r in found if found[r] != "atlas"} == {"thalamus", "entorhinal"}
    assert {found["thalamus"], found["entorhinal"]} == {"own segmentations"}
    assert record["regions"]["mae"] == ["brain", "thalamus", "entorhinal"]
    assert record["regions"]["ssim"] == ["brain"]


def test_a_metric_of_one_of_relads_regions_is_taken_in_the_peoples_own(study, own, monkeypatch):
    """And in the atlas's where a cohort has none: for all of a cohort the one or the other."""
    in_thalamus = replace(METRICS["ssim"], regions=("brain", "thalamus", "hippocampus"))
    monkeypatch.setitem(METRICS, "ssim", in_thalamus)
    for cohort, told in (("study", "own segmentations"), ("elsewhere", "atlas")):
        assert study.evaluate(cohort, "unet") == 0
        record = json.loads(study.metrics(cohort, "unet").with_suffix(".json").read_text())
        assert record["regions_from"]["thalamus"] == told
        assert record["regions_from"]["hippocampus"] == "atlas"
        for subject, value in values(study, cohort, "thalamus", "ssim").items():
            by_atlas = mask_of("thalamus", study.mask, AFFINE)
            mask = study.mask & own[subject][0] if cohort == "study" else by_atlas
            assert (mask != by_atlas).any() or cohort == "elsewhere"
            file = study.synthesized(cohort, "unet") / paths.synthetic_pet(subject, "tau")
            images = load_nifti(file).get_fdata(), study.truth[cohort, subject, "tau"]
            assert value == pytest.approx(compare(*images, mask, 4.0)["ssim"], rel=1e-5)
        assert len(values(study, cohort, "hippocampus", "ssim")) == (2 if cohort == "study" else 4)


def test_tables_know_the_regions_that_the_study_names(study, own):
    assert study.evaluate("study", "unet") == 0
    known = typed(ResultSettings, study.settings)
    scores = Study.read(known, [study.metrics("study", "unet")]).scores
    assert {"brain", "thalamus", "entorhinal"} < set(scores["region"])
    study.settings["segmentation"]["regions"] = {}
    with pytest.raises(ReladError, match="region 'entorhinal' is not one of brain"):
        Study.read(typed(ResultSettings, study.settings), [study.metrics("study", "unet")])


def test_a_region_that_is_missing_on_disk_is_refused(study, own, capsys):
    (study.packed("study") / "regions.npy").unlink()
    assert "regions.npy: cannot be read" in refused(study, capsys)
