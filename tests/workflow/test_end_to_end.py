"""The whole study, small: raw DICOM to tables and figures, run again, and repaired."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad import cli
from relad.fileio import read_json, write_json
from relad.registration import transforms
from relad.study import config, paths
from relad.study.catalogue import CEILING, FIGURE, TABLE
from tests.helpers.settings import members
from tests.helpers.small_study import Study, of_all

TABLES, FIGURES = of_all(TABLE), of_all(FIGURE)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study.create(tmp_path_factory.mktemp("end_to_end"))
    run = study.snakemake("all", "--cores", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    return study


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def tsv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text, delimiter="\t"))


def test_tables(done: Study) -> None:
    study = config.load(done.configfile)
    methods = set(members(study, "main"))
    ablations = set(members(study, "ablation"))
    expected = {
        "main": ({"tiny-train"}, methods | {CEILING}),
        "external": ({"tiny-external"}, methods | {CEILING}),
        "ablation": ({"tiny-train"}, {"rela"} | ablations),
    }
    for name, (cohorts, names) in expected.items():
        table = rows(done.results / f"tables/{name}.csv")
        found = [(row["cohort"], row["tracer"], row["method"]) for row in table]
        wanted = {(c, t, m) for c in cohorts for t in study["tracers"] for m in names}
        assert sorted(found) == sorted(wanted)
        assert {row["data"] for row in table} == {"simulated"}
        assert {row["n"] for row in table} == {"2"}
        for row in table:
            assert float(row["psnr_low"]) <= float(row["psnr"]) <= float(row["psnr_high"])
            assert -1 <= float(row["ssim"]) <= 1 and float(row["mae"]) >= 0
    assert {row["method"] for row in rows(done.results / "tables/runtime.csv")} == methods
    for name, beside in (("regions", set()), ("downstream", {"real-pet", "mri-only"})):
        table = rows(done.results / f"tables/{name}.csv")
        assert {row["cohort"] for row in table} == {"tiny-train", "tiny-external"}
        assert {row["method"] for row in table} == methods | beside
        assert {row["tracer"] for row in table} <= set(study["tracers"])


def test_samplings_of_one_model_stand_beside_each_other(done: Study) -> None:
    for name, samplers in (
        ("main", ["ddim-2", "dpmpp-2x3"]),
        ("fidelity", ["ddim-2", "dpmpp-2", "dpmpp-2x3"]),
    ):
        table = rows(done.results / f"tables/{name}.csv")
        first = [row for row in table if row["tracer"] == "tau"][: len(samplers)]
        assert [row["sampler"] for row in first] == samplers
        assert {row["method"] for row in first} == {"rela", "rela-sampled"}
    *single, mean = first
    assert all(row["crps"] == row["mae"] and not row["spread_skill"] for row in single)
    assert float(mean["spread_skill"]) > 0 and float(mean["crps"]) < float(mean["mae"])
    assert not (done.results / "models" / "rela-sampled").exists()
    folder = done.results / "synthesized" / "tiny-train" / "rela-sampled" / "fold-0_seed-0"
    assert (
        len(list(folder.glob("*desc-sample?_pet.nii.gz"))) == 3 * 2 * 2
    )  # samples, subjects, tracers


def test_every_table_and_figure_says_that_it_is_simulated(done: Study) -> None:
    for name in TABLES:
        for suffix in ("tex", "md"):
            text = (done.results / f"tables/{name}.{suffix}").read_text(encoding="utf-8")
            assert "simulated" in text.lower(), f"{name}.{suffix}"


def test_figures(done: Study) -> None:
    for name in FIGURES:
        png = (done.results / f"figures/{name}.png").read_bytes()
        pdf = (done.results / f"figures/{name}.pdf").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 10_000
        assert pdf.startswith(b"%PDF")


def test_the_page_shows_every_table_and_figure(done: Study) -> None:
    page = (done.results / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<details id="table-(\w+)"', page)) == set(TABLES)
    assert page.count("data:image/webp") == len(FIGURES)
    assert "SIMULATED DATA" in page and "tiny-train: 4 ok" in page


def test_every_subject_is_accounted_for_and_in_use(done: Study) -> None:
    for cohort, count in (("tiny-train", 4), ("tiny-external", 2)):
        file = done.results / f"packed/{cohort}/subjects.tsv"
        with file.open(newline="", encoding="utf-8") as text:
            subjects = list(csv.DictReader(text, delimiter="\t"))
        assert len(subjects) == count
        assert [row["reason"] for row in subjects if row["included"] != "yes"] == []


def test_every_job_left_a_log_and_a_benchmark(done: Study) -> None:
    for kind, suffix in (("logs", ".log"), ("benchmarks", ".tsv")):
        folders = {path.name for path in (done.results / kind).iterdir()}
        assert folders == {"phantom", "ingest", "enroll", "register", "normalize", "qc", "pack"} | {
            *("train", "synthesize", "evaluate", "ceiling", "tables", "figures", "report", "paper")
        }
        assert len(list((done.results / kind / "register").glob(f"*{suffix}"))) == 6


def test_every_cohort_has_a_quality_page(done: Study) -> None:
    for cohort, count in (("tiny-train", 4), ("tiny-external", 2)):
        page = (done.results / f"qc/{cohort}/index.html").read_text(encoding="utf-8")
        assert page.count("<tr tabindex") == count and "SIMULATED DATA" in page
        pictures = list((done.results / f"qc/{cohort}/pictures").glob("*.png"))
        shown = [p for p in pictures if p.name.endswith("_qc.png")]
        assert len(shown) == count and all(f"pictures/{p.name}" in page for p in shown)
        flicker = {p.name.partition("_")[0] for p in pictures if "_flicker" in p.name}
        assert len(flicker) == count


def test_sampler_study(done: Study) -> None:
    targets = ("results/tables/samplers.csv", "results/figures/samplers.png")
    run = done.snakemake(*targets, "--cores", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    assert not re.findall(r"^ *train +\d+$", run.stdout + run.stderr, re.MULTILINE)
    table = rows(done.results / "tables/samplers.csv")
    columns = ("sampler", "steps", "temperature", "samples", "evaluations")
    found = [[row[column] for column in columns] for row in table]
    assert found == [
        ["dpmpp", "2", "1.500000", "1", "2"],
        ["regression", "1", "1.000000", "1", "1"],
        ["regression", "1", "1.000000", "2", "2"],
    ]
    assert {row["method"] for row in table} == {"rela"}
    assert "SIMULATED DATA" in (done.results / "tables/samplers.md").read_text(encoding="utf-8")
    images = list((done.results / "sampler_study").rglob("*.nii.gz"))
    assert images == [], "the study's images are to go when they are evaluated"


def test_running_again_does_nothing(done: Study) -> None:
    run = done.snakemake("all", "--cores", "2")
    assert run.returncode == 0
    assert "Nothing to be done" in run.stdout + run.stderr


def test_deleted_model_comes_back_the_same(done: Study, tmp_path: Path) -> None:
    study = done.copy(tmp_path)
    before = study.outcome()
    weights = study.results / "models/rela/fold-0_seed-0/model.safetensors"
    model = weights.read_bytes()
    weights.unlink()
    targets = [f"results/tables/{name}.csv" for name in TABLES]
    targets.append(str(weights.relative_to(study.results.parent)))
    run = study.snakemake(*targets, "--cores", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.findall(r"^ *train +(\d+)$", run.stdout + run.stderr, re.MULTILINE) == ["1"]
    assert weights.read_bytes() == model
    assert study.outcome() == before


def as_bids(study: Study, cohort: str, root: Path, *left_out: str) -> list[Path]:
    """Copy a cohort's BIDS dataset, with brain masks, which take no time then; its sessions."""
    ignored = shutil.ignore_patterns(*left_out)
    shutil.copytree(study.results / "bids" / cohort, root, ignore=ignored)
    sessions = sorted(root.glob("sub-*/ses-*"))
    for session in sessions:
        person = session.parent.name.removeprefix("sub-")
        registered = study.results / "registered" / cohort / f"sub-{person}"
        mask = root.joinpath("derivatives/other", *session.parts[-2:], "anat")
        mask.mkdir(parents=True)
        stem = "_".join(session.parts[-2:])
        shutil.copyfile(
            registered / transforms.names(person)["brain_mask"],
            mask / f"{stem}_desc-brain_mask.nii.gz",
        )
    return sessions


def people_without_pet(study: Study, root: Path) -> list[str]:
    """Make a BIDS dataset of the external cohort without PET, of the last person without FLAIR."""
    sessions = as_bids(study, "tiny-external", root, "pet", "*.tsv")
    for flair in sessions[-1].glob("anat/*_FLAIR.*"):
        flair.unlink()
    return [session.parent.name.removeprefix("sub-") for session in sessions]


def test_a_model_is_applied_to_people_without_pet(done: Study, tmp_path: Path) -> None:
    study = done.copy(tmp_path)
    first, second = people_without_pet(done, tmp_path / "clinic")
    entry = "role: apply, source: bids, methods: [rela-sampled]"
    text = study.configfile.read_text(encoding="utf-8")
    text = text.replace(
        "\ntracers:", f"  clinic: {{{entry}, path: {tmp_path / 'clinic'}}}\n\ntracers:", 1
    )
    study.configfile.write_text(text, encoding="utf-8")
    target = paths.derivatives("clinic", "rela-sampled", 0, 0)
    run = study.snakemake(str(target), "--cores", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    assert not re.findall(r"^ *(train|evaluate) +\d+$", run.stdout + run.stderr, re.MULTILINE)

    out = study.folder / "study" / target
    people = {row["participant_id"]: row for row in tsv(out / "participants.tsv")}
    assert people[f"sub-{first}"]["applied"] == "yes"
    assert people[f"sub-{second}"]["applied"] == "no"
    assert "FLAIR missing" in people[f"sub-{second}"]["reason"]
    assert {f.name for f in out.glob("*.html")} == {f"sub-{first}.html"}
    for tracer in ("tau", "amyloid"):
        stem = f"sub-{first}_trc-{tracer}"
        for desc in ("synthetic", "spread"):
            name = f"{stem}_space-MNI152NLin2009aSym_desc-{desc}_pet.nii.gz"
            made = nib.load(out / f"sub-{first}" / "pet" / name).get_fdata()
            same = f"synthesized/tiny-external/rela-sampled/fold-0_seed-0/{stem}_space-MNI"
            wanted = nib.load(study.results / f"{same}_desc-{desc}_pet.nii.gz").get_fdata()
            np.testing.assert_allclose(made, wanted, atol=1e-5)
        assert (out / f"sub-{first}/pet/{stem}_seg-relad_desc-synthetic_stats.tsv").exists()
    validator = shutil.which("bids-validator-deno")
    if validator is not None:
        told = subprocess.run([validator, str(out), "--format", "json"], capture_output=True)
        issues = json.loads(told.stdout)["issues"]["issues"]
        assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert "SIMULATED DATA" in (out / f"sub-{first}.html").read_text(encoding="utf-8")
    assert "Nothing to be done" in study.snakemake(str(target), "--cores", "2").stderr


def test_raw_dicom_of_a_test_subject_gives_what_the_study_synthesised(
    done: Study, tmp_path: Path
) -> None:
    model = done.results / "models/rela/fold-0_seed-0"
    subject = read_json(model / "train.json")["subjects"]["test"][0]
    (raw,) = (done.results / "raw/tiny-train/loni").glob(f"*_S_{subject.partition('S')[2]}")
    t1w, flair = (next(raw.glob(f"*{name}*/*/I*")) for name in ("MPRAGE", "FLAIR"))
    mask = (
        done.results
        / f"registered/tiny-train/sub-{subject}"
        / transforms.names(subject)["brain_mask"]
    )
    words = ["--t1", t1w, "--flair", flair, "--brain-mask", mask, "--subject", subject]
    words += ["--tracer", "tau", "--sampler", "ddim", "--steps", "2", "--samples", "1"]
    out = tmp_path / "out"
    assert cli.main(["predict", str(model), str(out), *map(str, words), "--threads", "1"]) == 0
    (made,) = out.rglob("*_space-MNI152NLin2009aSym_desc-synthetic_pet.nii.gz")
    folder = done.results / "synthesized/tiny-train/rela/fold-0_seed-0"
    wanted = nib.load(folder / paths.synthetic_pet(subject, "tau")).get_fdata()
    np.testing.assert_allclose(nib.load(made).get_fdata(), wanted, atol=1e-5)


def test_simulated_scans_that_come_as_bids_stay_simulated(done: Study, tmp_path: Path) -> None:
    """Nothing but the scans says so: neither the source nor a name of the configuration."""
    study = Study.create(tmp_path)
    as_bids(done, "tiny-train", tmp_path / "centre")
    description = tmp_path / "centre" / "dataset_description.json"
    write_json(description, {**read_json(description), "Name": "My centre"})
    text = study.configfile.read_text(encoding="utf-8")
    text = text.replace("source: phantom", f"source: bids\n    path: {tmp_path / 'centre'}", 1)
    text = text.replace("    phantom: {subjects: 4, site: 951, scanner: alpha}\n", "")
    start, end = text.index("  tiny-external:"), text.index("tracers:")
    study.configfile.write_text(text[:start] + text[end:], encoding="utf-8")
    methods = study.repository / "config/test/methods.yaml"
    kept = {k: v for k, v in config.read_yaml(methods).items() if k in ("unet", "template")}
    write_json(methods, kept)  # JSON is YAML
    write_json(study.repository / "config/test/ablations.yaml", {})
    study.configfile.write_text(
        re.sub(r"sampler_study:.*?\n\n", "", study.configfile.read_text(), flags=re.DOTALL)
    )
    tables, figures = ("main", "runtime"), ("panels", "distributions", "training_curves", "runtime")
    targets = [f"results/tables/{name}.csv" for name in tables]
    targets += [f"results/figures/{name}.png" for name in figures]
    targets.append("results/qc/tiny-train/index.html")
    run = study.snakemake(*targets, "--cores", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    for name in tables:
        assert {row["data"] for row in rows(study.results / f"tables/{name}.csv")} == {"simulated"}
        for suffix in ("tex", "md"):
            assert "SIMULATED DATA" in (study.results / f"tables/{name}.{suffix}").read_text()
    for name in figures:
        assert "SIMULATED DATA" in (study.results / f"figures/{name}.txt").read_text()
    images = [*(study.results / "normalized").rglob("*.nii.gz")]
    images += (study.results / "synthesized").rglob("*.nii.gz")
    assert len(images) > 20
    for image in images:
        assert nib.load(image).header["descrip"].tobytes().startswith(b"SIMULATED DATA"), image
    assert "SIMULATED DATA" in (study.results / "qc/tiny-train/index.html").read_text()
