"""``relad tables``: rows, intervals, captions, and the three forms of a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from relad.cli import main
from relad.fileio import read_table
from relad.results.scores import read_scores
from relad.results.statistics import bootstrap_interval
from relad.results.tables.accuracy import COLUMNS, accuracy_table
from relad.results.tables.rendering import Cell, Table
from relad.results.tables.runtime import COLUMNS as RUNTIME_COLUMNS
from tests.helpers.fake_study import FakeStudy, make_settings


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    study = FakeStudy(tmp_path_factory.mktemp("tables"), subjects=8)
    study.evaluate_all()
    return study


@pytest.fixture(scope="module")
def tables(study: FakeStudy) -> Path:
    assert study.summarize("tables", study.root / "tables") == 0
    return study.root / "tables"


def test_every_table_has_three_forms(tables):
    names = {f"{n}.{s}" for n in ("main", "external", "ablation", "runtime") for s in FORMS}
    assert {file.name for file in tables.iterdir()} == names


FORMS = ("csv", "tex", "md")


def test_main_table_has_a_row_per_tracer_and_method(tables):
    rows = read_table(tables / "main.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [(r["cohort"], r["tracer"], r["method"], r["n"]) for r in rows] == [
        ("study", tracer, method, n)
        for tracer, n in (("tau", "4"), ("amyloid", "3"))
        for method in ("rela", "unet", "template")
    ]
    assert {row["data"] for row in rows} == {"simulated"}


def test_external_and_ablation_tables(tables):
    external = read_table(tables / "external.csv")
    assert {r["cohort"] for r in external} == {"elsewhere"}
    assert {r["method"] for r in external} == {"rela", "unet", "template"}
    assert [r["n"] for r in external[::3]] == ["8", "7"]
    ablation = read_table(tables / "ablation.csv")
    assert [r["method"] for r in ablation] == ["rela", "rela-no-t1w"] * 2
    assert {r["cohort"] for r in ablation} == {"study"}


def test_means_and_intervals_are_over_subjects(study, tables):
    rows = read_table(study.metrics("study", "unet"))
    values = [float(r["value"]) for r in rows if (r["tracer"], r["metric"]) == ("tau", "mae")]
    row = next(
        r for r in read_table(tables / "main.csv") if (r["tracer"], r["method"]) == ("tau", "unet")
    )
    low, high = bootstrap_interval(values, level=0.95, resamples=200)
    assert float(row["mae"]) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(row["mae_low"]) == pytest.approx(low, abs=1e-6)
    assert float(row["mae_high"]) == pytest.approx(high, abs=1e-6)
    assert float(row["mae_low"]) < float(row["mae"]) < float(row["mae_high"])


def test_the_caption_says_what_the_numbers_are(tables):
    text = (tables / "main.md").read_text()
    for part in (
        "**SIMULATED DATA (digital phantoms, no patients)**",
        "study, n = 4 (tau), 3 (amyloid) subjects",
        "95% bootstrap interval over subjects, 200 resamples",
        "brain mask",
        "data range 4 (tau), 3 (amyloid) SUVR",
        "SSIM is 3D",
        "With n = 3 the intervals are too rough",
    ):
        assert part in text
    tex = (tables / "main.tex").read_text()
    assert r"\caption{\textbf{SIMULATED DATA (digital phantoms, no patients).}" in tex


def test_enough_subjects_need_no_warning(tables):
    assert "too rough" not in (tables / "external.md").read_text()


def test_real_data_is_not_called_simulated(study, tmp_path):
    settings = make_settings(source="loni")
    scores = read_scores([study.metrics("study", m) for m in ("rela", "unet")], settings)
    table = accuracy_table("main", scores, settings)
    assert table.warning == ""
    assert {row["data"] for row in table.rows} == {"real"}
    assert "SIMULATED" not in table.markdown() + table.tex()


def test_the_best_method_is_bold(tables):
    lines = (tables / "main.md").read_text().splitlines()
    tau = [line for line in lines if "tau (AV1451)" in line]
    assert [line.count("**") for line in tau] == [6, 0, 0]  # RelA: all three metrics
    assert "RelA-Diffusion" in tau[0]


def test_methods_that_read_the_same_share_the_bold(study):
    settings = make_settings()
    scores = {
        ("study", "tau", method, metric): {"A": value + tiny, "B": value + tiny}
        for metric, value in (("psnr", 20.0), ("ssim", 0.5), ("mae", 0.1))
        for method, tiny in (("rela", 0.0), ("unet", 1e-6))
    }
    table = accuracy_table("main", scores, settings)
    assert all(cell.bold for row in table.groups[0] for cell in row[4:])


def test_one_subject_has_no_interval(study):
    metrics = (("psnr", 20.0), ("ssim", 0.5), ("mae", 0.1))
    scores = {("study", "tau", "unet", metric): {"A": value} for metric, value in metrics}
    table = accuracy_table("main", scores, make_settings())
    assert table.rows[0]["psnr_low"] is None
    assert table.groups[0][0][4].text == "20.00"


def test_latex_rows_have_as_many_cells_as_columns(tables):
    for file in tables.glob("*.tex"):
        text = file.read_text()
        spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
        rows = [line for line in text.splitlines() if line.endswith(r" \\")]
        assert {line.replace(r"\&", "").count("&") + 1 for line in rows} == {len(spec)}
        assert text.count("{") == text.count("}")


def test_special_characters_are_escaped():
    table = Table("t", "50% of x_0", "", ["a"], [], ["a & b"], [[[Cell("x_0 < 1|2")]]], 1)
    assert r"50\% of x\_0" in table.tex()
    assert r"a \& b" in table.tex()
    assert r"x\_0 $<$ 1|2 \\" in table.tex()
    assert r"| x\_0 &lt; 1\|2 |" in table.markdown()


def test_runtime_table(tables):
    rows = read_table(tables / "runtime.csv")
    assert tuple(rows[0]) == RUNTIME_COLUMNS
    assert [r["method"] for r in rows] == ["rela", "unet", "template", "rela-no-t1w"]
    rela, template = rows[0], rows[2]
    assert (rela["parameters"], rela["updates"], rela["evaluations"]) == ("1234567", "500", "10")
    assert float(rela["train_seconds"]) == 100.5
    assert template["parameters"] == "0"
    text = (tables / "runtime.md").read_text()
    assert "measured and vary from run to run" in text
    assert "SIMULATED DATA" in text


def test_same_input_same_bytes(study, tables, tmp_path):
    study.summarize("tables", tmp_path)
    for file in tables.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_only_one_table(study, tmp_path, capsys):
    assert study.summarize("tables", tmp_path, "--only", "ablation") == 0
    assert {file.name for file in tmp_path.iterdir()} == {f"ablation.{s}" for s in FORMS}
    assert capsys.readouterr().out == ""


def test_the_main_table_prints_the_gain_over_the_floor(study, tmp_path, capsys):
    study.summarize("tables", tmp_path, "--only", "main")
    lines = capsys.readouterr().out.splitlines()
    assert "relative to Mean template" in lines[0]
    assert lines[1].split()[0] == "RelA-Diffusion"
    assert lines[2].split()[:2] == ["U-Net", "(L1)"]
    rows = read_table(tmp_path / "main.csv")
    mean = {
        m: np.mean([float(r["psnr"]) for r in rows if r["method"] == m])
        for m in ("rela", "template")
    }
    assert f"{mean['rela'] - mean['template']:+.2f} dB  above the floor" in lines[1]


def test_a_method_below_the_floor_is_said_to_be(tmp_path, capsys):
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.5, "template": 0.2})
    study.evaluate_all()
    study.summarize("tables", tmp_path / "tables", "--only", "main")
    assert "NOT above the floor" in capsys.readouterr().out


def test_a_table_without_values_is_an_error_when_asked_for(tmp_path, capsys):
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.5})
    study.evaluate_all()
    capsys.readouterr()
    assert study.summarize("tables", tmp_path / "tables", "--only", "ablation") == 2
    assert "nothing was given for the table 'ablation'" in capsys.readouterr().err
    assert study.summarize("tables", tmp_path / "tables") == 0
    assert "nothing given for ablation; left out" in capsys.readouterr().err


def test_samplers_by_method_with_their_evaluations(study, tmp_path, capsys):
    files = study.evaluate_samplings()
    command = ["tables", *map(str, files), "--out", str(tmp_path), "--only", "samplers"]
    assert main([*command, "--settings", study.settings_json]) == 0
    rows = read_table(tmp_path / "samplers.csv")
    assert [(r["sampler"], r["steps"], r["samples"], r["evaluations"]) for r in rows] == [
        ("ddim", "2", "1", "2"),
        ("ddim", "10", "1", "10"),
        ("ddim", "10", "4", "40"),
        ("regression", "1", "1", "1"),
    ]
    # a subject's value is the mean over its tracers, and the mean is over subjects
    values: dict[str, list[float]] = {}
    for row in read_table(files[1]):
        if row["metric"] == "psnr" and row["region"] == "brain":
            values.setdefault(row["subject"], []).append(float(row["value"]))
    expected = np.mean([np.mean(v) for v in values.values()])
    assert float(rows[1]["psnr"]) == pytest.approx(expected, abs=1e-6)
    assert float(rows[1]["psnr_low"]) <= expected <= float(rows[1]["psnr_high"])
    text = (tmp_path / "samplers.md").read_text(encoding="utf-8")
    assert "SIMULATED DATA" in text and f"n = {len(values)} subjects" in text
    best = next(line for line in text.splitlines() if "| 40 |" in line)
    assert best.count("**") == 6
    # these metrics belong to no other table, and no other metrics to this one
    capsys.readouterr()
    assert main([*command[:-1], "main", "--settings", study.settings_json]) == 2
    assert "was sampled with" in capsys.readouterr().err
    unet = str(study.metrics("study", "unet"))
    command[1:-4] = [unet]
    assert main([*command, "--settings", study.settings_json]) == 2
    assert "no table of a diffusion method's metrics" in capsys.readouterr().err


def test_a_group_has_a_table_of_its_name(study, tmp_path, capsys):
    settings = json.loads(study.settings_json)
    for name in ("unet", "rela"):
        settings["methods"][name]["groups"] = ["main", "my_group"]
    options = ("--only", "my_group", "--settings", json.dumps(settings))
    assert study.summarize("tables", tmp_path, *options) == 0
    rows = read_table(tmp_path / "my_group.csv")
    assert {row["method"] for row in rows} == {"rela", "unet"}
    assert "Trained for" not in (tmp_path / "my_group.md").read_text()
    for name in ("unet", "rela"):
        settings["methods"][name]["updates"] = 2000
    options = ("--only", "my_group", "--settings", json.dumps(settings))
    assert study.summarize("tables", tmp_path, *options) == 0
    assert "Trained for 2,000 updates each." in (tmp_path / "my_group.md").read_text()
    assert study.summarize("tables", tmp_path, "--only", "no_group") == 2
    assert "no table 'no_group'" in capsys.readouterr().err


def test_tables_need_no_drawing_and_no_metrics_library():
    code = (
        "import sys, relad.results.tables; "
        "print([m for m in ('matplotlib', 'pandas', 'skimage', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
