"""``relad tables``: its files, and what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relad.study.catalogue import TABLE
from tests.helpers.fake_study import FakeStudy
from tests.helpers.small_study import of_all

FORMS = ("csv", "tex", "md")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    study = FakeStudy(tmp_path_factory.mktemp("tables"), subjects=6)
    study.evaluate_all()
    return study


@pytest.fixture(scope="module")
def tables(study: FakeStudy) -> Path:
    assert study.summarize("tables", study.root / "tables") == 0
    return study.root / "tables"


@pytest.mark.parametrize(
    ("module", "beside"),
    [
        ("steps.tables", {"matplotlib", "seaborn", "scipy.ndimage"}),
        ("steps.figures", {"scipy.ndimage"}),
        ("results.tables.accuracy", {"matplotlib", "seaborn"}),
    ],
)
def test_results_start_without_what_other_steps_need(module, beside):
    code = f"import sys, relad.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"nibabel", "pydicom", "skimage", "torch", *beside} & set(done.stdout.split())


def test_every_table_has_three_forms(tables):
    names = of_all(TABLE, samples=False)
    files = {f"{name}.{suffix}" for name in names for suffix in (*FORMS, "table.json")}
    assert {file.name for file in tables.iterdir()} == files


def test_every_form_says_that_data_are_simulated(tables):
    for file in tables.iterdir():
        assert "simulated" in file.read_text().lower()


def test_latex_rows_have_as_many_cells_as_columns(tables):
    for file in tables.glob("*.tex"):
        text = file.read_text()
        spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
        rows = [line for line in text.splitlines() if line.endswith(r" \\")]
        assert {line.replace(r"\&", "").count("&") + 1 for line in rows} == {len(spec)}
        assert text.count("{") == text.count("}")


def test_same_input_same_bytes(study, tables):
    """In another folder beside the first: what a table was made of is told by its path from it."""
    again = study.root / "again"
    study.summarize("tables", again)
    for file in tables.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_the_main_table_prints_the_gain_over_the_floor_and_no_other_prints(study, tmp_path, capsys):
    study.summarize("tables", tmp_path, "--only", "main")
    assert "relative to Mean template" in capsys.readouterr().out.splitlines()[0]
    study.summarize("tables", tmp_path, "--only", "ablation")
    assert capsys.readouterr().out == ""


def test_a_table_and_that_of_the_samplers_are_made_of_their_own_metrics(study, tmp_path, capsys):
    files = study.evaluate_samplings()
    assert study.call("tables", tmp_path, files, "--only", "samplers") == 0
    assert {file.name for file in tmp_path.iterdir()} == {
        f"samplers.{s}" for s in (*FORMS, "table.json")
    }
    capsys.readouterr()
    assert study.call("tables", tmp_path, files, "--only", "main") == 2
    assert "was sampled with" in capsys.readouterr().err
