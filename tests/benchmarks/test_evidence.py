"""The study whose evaluation is measured: many people, told apart, and as many methods."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from benchmarks import evidence
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import write_text
from relad.study import config
from tests.helpers.packing import write_packed


def test_people_are_filled_up_and_nobody_is_another(tmp_path):
    source = PackedDataset(write_packed(tmp_path / "two", subjects=2, role="external"))
    data = evidence.fill_up(tmp_path / "two", tmp_path / "five", 5)
    assert (len(data), data.role, data.cohort) == (5, "external", "toy")
    assert len({row["mri_sha256"] for row in data.subjects}) == 5
    for i in range(5):
        inside = data.mask[i]
        np.testing.assert_array_equal(inside, source.mask[i % 2])
        for mine, theirs in ((data.mri[i], source.mri[i % 2]), (data.pet[i], source.pet[i % 2])):
            np.testing.assert_array_equal(mine[:, ~inside], theirs[:, ~inside])
            assert 0.5 < (mine - theirs)[:, inside].std() / evidence.NOISE < 1.1
        assert all((data.pet[i] != data.pet[j]).any() for j in range(i))


def test_the_study_is_one_with_so_many_methods(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cohorts = [
        PackedDataset(write_packed(tmp_path / role, role=role, cohort=f"{role}-cohort"))
        for role in ("train", "external")
    ]
    for name, content in (
        ("study.yaml", evidence.study_of(*cohorts)),
        ("methods.yaml", evidence.methods_of(12)),
        ("ablations.yaml", {}),
    ):
        write_text(tmp_path / name, yaml.safe_dump(content, sort_keys=False))
    study = config.load(tmp_path / "study.yaml")
    assert len(study["methods"]) == 12
    ridges = [m["params"]["ridge"] for m in study["methods"].values() if "ridge" in m["params"]]
    assert len(set(ridges)) == 11
    assert list(study["cohorts"]) == ["train-cohort", "external-cohort"]


def test_a_row_tells_the_jobs_of_a_step():
    measured = [
        ("evaluate", {"s": "3.0", "cpu_time": "2.5", "max_rss": "100.0"}),
        ("evaluate", {"s": "5.0", "cpu_time": "4.0", "max_rss": "90.0"}),
        ("tables", {"s": "0.4", "cpu_time": "", "max_rss": "30.0"}),
    ]
    evaluate, tables = evidence.rows_of(measured)
    assert list(evaluate.values()) == ["evaluate", 2, "6", "5", "100"]
    assert list(tables.values()) == ["tables", 1, "0", "0", "30"]


def test_what_is_measured_is_made_anew_from_synthetic_pet(tmp_path, monkeypatch, capsys):
    for role in ("train", "external"):
        write_packed(tmp_path / role, role=role, cohort=role, subjects=4)
    runs = []

    def snakemake(work, cores):
        there = {file.name for file in (work / "results").glob("*")}
        runs.append((there, [*(work / "results" / "benchmarks").glob("evaluate/*")], cores))
        for name in ("metrics/a.csv", "tables/a.csv", "figures/a.png", "paper/a.tex"):
            write_text(work / "results" / name, "made")
        write_text(work / "results" / "synthesized" / "a.nii.gz", "made")
        write_text(work / "results" / "report.html", "x" * 1_200_000)
        write_text(
            work / "results" / "benchmarks" / "evaluate" / f"{len(runs)}.tsv",
            "s\tcpu_time\tmax_rss\n8.0\t7.0\t300.0\n",
        )
        return 10.0 * len(runs), 15.0 * len(runs)

    monkeypatch.setattr(evidence, "snakemake", snakemake)
    given = [str(tmp_path / name) for name in ("train", "external", "work")]
    assert evidence.main([*given, "--people", "6", "--report", str(tmp_path / "docs")]) == 0
    assert [cores for *_, cores in runs] == [2, 2]
    assert runs[1][:2] == ({"synthesized", "benchmarks"}, [])
    told = capsys.readouterr().out
    assert told == (tmp_path / "docs" / "evidence.md").read_text()
    assert "6 people x 12 methods x 3 tracers on 16 x 20 x 12 voxels" in told
    assert "**20 s** on 2 cores, 30 s of processors" in told and "has 1.2 MB" in told
    assert "| evaluate | 1 | 7 | 8 | 300 |" in told


def test_a_folder_that_is_there_is_left_alone(tmp_path, capsys):
    assert evidence.main([str(tmp_path), str(tmp_path), str(tmp_path)]) == 2
    assert "is there already -- name a new folder" in capsys.readouterr().err


def test_what_snakemake_says_is_passed_on(tmp_path):
    with pytest.raises(ReladError, match="Snakemake ended with 1"):
        evidence.snakemake(tmp_path / "nowhere", 1)
