"""`relad export`: what comes along, what is said of it, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from relad import cli
from relad.bundle import open_model
from relad.fileio import read_table, write_table
from relad.results.scores import COLUMNS
from tests.helpers.settings import study
from tests.helpers.trainings import settings, train

REGRESSION = settings() | {"methods": {"template": study()["methods"]["template"]}}


@pytest.fixture(scope="module")
def results(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a model and its evaluation; read only."""
    root = tmp_path_factory.mktemp("study") / "results"
    assert train(packed, root / "models/template/fold-0_seed-0", "template", REGRESSION) == 0
    evaluation(root / "metrics/toy/template/fold-0_seed-0.csv", S000=(20.0, 0.5), S003=(22.0, 0.7))
    return root


def evaluation(file: Path, **values: tuple[float, float]) -> None:
    """A table of `relad evaluate` with PSNR in the brain and in one region."""
    of_all = {"cohort": "toy", "data": "simulated", "method": "template", "sampler": "forward"}
    of_all |= {"fold": 0, "seed": 0, "tracer": "tau"}
    rows = [
        of_all | {"subject": subject, "region": region, "metric": metric, "value": value}
        for subject, pair in values.items()
        for (region, metric), value in zip(
            (("brain", "psnr"), ("hippocampus", "mae")), pair, strict=True
        )
    ]
    write_table(file, rows, COLUMNS)


def model(results: Path) -> Path:
    return results / "models/template/fold-0_seed-0"


def export(*words: object) -> int:
    return cli.main(["export", *map(str, words)])


def test_scores_of_this_model_s_evaluation_come_along(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(model(results), tmp_path / "b.zip", "--license", "CC-BY-4.0") == 0
    said = capsys.readouterr()
    assert "scores.csv" in said.out and said.err == ""
    there = open_model(tmp_path / "b.zip", tmp_path / "there")
    rows = read_table(there / "scores.csv")
    assert [(r["region"], r["metric"], r["n"], r["mean"]) for r in rows] == [
        ("brain", "psnr", "2", "21.0"),
        ("hippocampus", "mae", "2", "0.6"),
    ]
    card = (there / "README.md").read_text()
    assert "| toy | simulated | tau | forward | 2 | 21.00 ± 1.41 |" in card
    assert "| licence | CC-BY-4.0 |" in card and "hippocampus" not in card
    manifest = json.loads((there / "manifest.json").read_text())
    assert manifest["license"] == "CC-BY-4.0"


def test_no_person_s_own_score_comes_along(results: Path, tmp_path: Path) -> None:
    assert export(model(results), tmp_path / "b.zip") == 0
    there = open_model(tmp_path / "b.zip", tmp_path / "there")
    assert "S003" not in (there / "scores.csv").read_text()


def test_what_is_not_stated_is_said(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model(results), tmp_path / "model")  # in no results folder
    assert export(tmp_path / "model", tmp_path / "b.zip") == 0
    said = capsys.readouterr().err
    assert "no licence stated" in said and "no test scores" in said
    there = open_model(tmp_path / "b.zip", tmp_path / "there")
    assert json.loads((there / "manifest.json").read_text())["license"] == "unspecified"


def test_scores_older_than_the_weights_stay_behind(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are of an earlier training."""
    shutil.copytree(results, tmp_path / "results")
    table = tmp_path / "results/metrics/toy/template/fold-0_seed-0.csv"
    os.utime(table, (1, 1))
    assert export(model(tmp_path / "results"), tmp_path / "b.zip") == 0
    said = capsys.readouterr()
    assert f"{table}: older than the weights" in said.err and "scores.csv" not in said.out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "unet"}, "is of method unet, not of"),
        ({"fold": "1"}, "is of fold 1, not of"),
        ({"value": "nan"}, "value 'nan' is not a number"),
        ({"metric": "beauty"}, "metric 'beauty' is none"),
        ({"value": ""}, "lacks value"),
        ({"subject": "S003"}, "gives psnr of S003 twice"),
    ],
    ids=str,
)
def test_scores_of_another_model_are_refused(
    change: dict[str, str],
    says: str,
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = read_table(results / "metrics/toy/template/fold-0_seed-0.csv")
    table = tmp_path / "given.csv"
    write_table(table, [rows[0] | change, *rows[1:]], COLUMNS)
    assert export(model(results), tmp_path / "new/b.zip", "--scores", table) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and says in said and str(table) in said
    assert list(tmp_path.iterdir()) == [table]


def test_a_model_that_is_not_trained_to_its_end_is_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model(results), tmp_path / "model")
    (tmp_path / "model/train.json").unlink()
    assert export(tmp_path / "model", tmp_path / "b.zip") == 2
    assert "train.json: no such file" in capsys.readouterr().err
    assert not (tmp_path / "b.zip").exists()


def test_weights_that_are_not_the_record_s_are_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is exported was opened once."""
    shutil.copytree(model(results), tmp_path / "model")
    file = tmp_path / "model/train.json"
    file.write_text(file.read_text().replace("baselines.template:MeanTemplate", "my.own:Method"))
    before = set(tmp_path.iterdir())
    assert export(tmp_path / "model", tmp_path / "b.zip") == 2
    said = capsys.readouterr().err
    assert "my.own:Method, which no installed package brings" in said and said.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_a_file_that_is_no_bundle_is_not_replaced(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thesis = tmp_path / "thesis.zip"
    thesis.write_bytes(b"PK years of work")
    assert export(model(results), thesis) == 2
    assert "exists and is no bundle" in capsys.readouterr().err
    assert thesis.read_bytes() == b"PK years of work"
    bundle = tmp_path / "b.zip"
    assert export(model(results), bundle) == 0
    assert export(model(results), bundle, "--license", "CC0-1.0") == 0


@pytest.mark.parametrize("text", ["", "x" * 201, "a\x1b[2Jb"])
def test_a_licence_is_one_printable_line(text: str, results: Path, tmp_path: Path) -> None:
    assert export(model(results), tmp_path / "b.zip", "--license", text) == 2
    assert not (tmp_path / "b.zip").exists()


def test_a_method_of_a_package_needs_that_package(
    installed: Path,
    packed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.syspath_prepend(installed)
        entry = study()["methods"]["unet"] | {"class": "relad_voxelwise:Voxelwise", "params": {}}
        own = settings() | {"methods": {"voxelwise": entry}}
        assert train(packed, tmp_path / "model", "voxelwise", own) == 0
        assert export(tmp_path / "model", tmp_path / "b.zip") == 0
        open_model(tmp_path / "b.zip", tmp_path / "there")
    capsys.readouterr()
    words = ["synthesize", tmp_path / "b.zip", packed, tmp_path / "out"]
    assert cli.main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert "relad_voxelwise:Voxelwise, which no installed package brings" in said
    assert "relad-voxelwise 0.1.0" in said and said.count("\n") == 1
