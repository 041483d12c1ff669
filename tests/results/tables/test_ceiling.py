"""The ceiling in the tables: a row of its own below the methods, changing nothing of theirs."""

from __future__ import annotations

import pytest

from relad.cli import main
from relad.fileio import read_table
from relad.results.metrics import METRICS
from relad.results.study import Study
from relad.results.tables.accuracy import accuracy_table, main_table
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import FakeStudy, entry, score, scores_of

MAIN, EXTERNAL = (entry("table", name) for name in ("main", "external"))


@pytest.fixture(scope="module")
def fake(tmp_path_factory) -> FakeStudy:
    fake = FakeStudy(tmp_path_factory.mktemp("ceiling"), subjects=8)
    fake.evaluate_all()
    fake.know_ceiling("study")
    return fake


def read(fake: FakeStudy, *more) -> Study:
    metrics = [fake.metrics(*run) for run in fake.runs]
    return Study.read(typed(ResultSettings, fake.settings), [*metrics, *more])


@pytest.fixture
def study(fake) -> Study:
    return read(fake, fake.root / "results/metrics/study/ceiling/all.csv")


def test_it_stands_last_of_its_tracer_and_leads_nobody(fake, study):
    table, before = main_table(study, MAIN), main_table(read(fake), MAIN)
    assert [row[2].text for row in table.groups[0]] == [
        *("RelA-Diffusion", "U-Net (L1)", "Mean template", "Oracle (ceiling)")
    ]
    own = table.rows[table.rows["method"] == "ceiling"]
    assert list(own["tracer"]) == ["tau", "amyloid"] and list(own["n"]) == [4, 3]
    # Better than all of them, and neither bold nor counted.
    assert own["psnr"].min() > table.rows[table.rows["method"] == "rela"]["psnr"].max()
    for group, was in zip(table.groups, before.groups, strict=True):
        assert not any(cell.bold for cell in group[-1])
        assert [row[:-1] for row in group[:-1]] == was
    assert "Oracle" not in before.caption and "way" not in before.rows
    assert table.summary[: len(before.summary)] == before.summary


def test_where_a_method_reads_as_well_the_method_alone_leads(tmp_path):
    every = [
        score(
            method=method,
            subject=subject,
            metric=metric,
            value=value if metric == "psnr" else value / 100,
        )
        for method, value in (("unet", 25.0), ("template", 20.0), ("ceiling", 25.0))
        for subject in "AB"
        for metric in MAIN.metrics
    ]
    (group,) = main_table(scores_of(tmp_path, *every), MAIN).groups
    assert [(row[2].text, row[6].bold) for row in group] == [
        *(("U-Net (L1)", True), ("Mean template", False), ("Oracle (ceiling)", False))
    ]


def test_everybody_has_a_way_to_it(study):
    table = main_table(study, MAIN)
    ways = table.rows.set_index(["tracer", "method"])["way"].unstack()
    assert (ways["template"] == 0).all() and (ways["ceiling"] == 100).all()
    assert ((ways["unet"] > 50) & (ways["unet"] < ways["rela"]) & (ways["rela"] < 100)).all()
    assert table.headers[-1] == "Of the way (%)"
    rela, _, template, oracle = (row[-1].text for row in table.groups[0])
    assert (template, oracle) == ("0", "100")
    low, high = rela.split(" [")[1].rstrip("]").split(", ")
    assert int(low) <= int(rela.split()[0]) <= int(high)
    for part in (
        "it is no method, and no test counts it",
        "(E_floor - E) / (E_floor - E_oracle)",
        "the floor is Mean template [Fieller's 95% interval over subjects]",
    ):
        assert part in table.caption
    assert table.summary[-3].startswith("study: of the way from the floor to the ceiling")
    assert table.summary[-2].startswith("  RelA-Diffusion: ") and "% tau, " in table.summary[-2]


def test_a_floor_that_nothing_was_given_of_is_no_floor(tmp_path):
    rows = [
        score(method=m, subject=s, metric=metric, value=v if metric == "psnr" else v / 100)
        for m, v in (("rela", 22.0), ("unet", 25.0), ("ceiling", 26.0))
        for s in "AB"
        for metric in MAIN.metrics
    ]
    table = main_table(scores_of(tmp_path, *rows), MAIN)
    assert list(table.rows["method"]) == ["rela", "unet"]
    assert "way" not in table.rows and table.summary == []


def test_a_cohort_without_one_has_no_row(study):
    table = accuracy_table(study, EXTERNAL)
    assert set(table.rows["method"]) == {"rela", "unet", "template"}
    assert "way" not in table.rows and "Oracle" not in table.caption


def test_other_tables_do_not_show_it(study):
    for name in ("ablation", "fidelity"):
        table = accuracy_table(study, entry("table", name))
        assert "ceiling" not in set(table.rows["method"]) and "way" not in table.rows


def test_written_and_read_like_any_table(fake, tmp_path):
    file = fake.root / "results/metrics/study/ceiling/all.csv"
    metrics = [fake.metrics(*run) for run in fake.runs]
    given = [*map(str, [*metrics, file]), "--out", str(tmp_path), "--settings", fake.settings_file]
    assert main(["tables", *given, "--only", "main"]) == 0
    rows = read_table(tmp_path / "main.csv")
    (own,) = [r for r in rows if (r["method"], r["tracer"]) == ("ceiling", "tau")]
    assert own["way"] == "100.000000" and own["way_low"] is None and own["data"] == "simulated"
    written = [
        float(row["value"])
        for row in read_table(file)
        if (row["tracer"], row["metric"]) == ("tau", "mae") and row["subject"] > "941S0004"
    ]
    assert float(own["mae"]) == pytest.approx(sum(written) / 4, abs=1e-6)
    assert {row["metric"] for row in read_table(file)} <= set(METRICS)
    assert "Oracle (ceiling)" in (tmp_path / "main.md").read_text()
    assert r"Of the way (\%)" in (tmp_path / "main.tex").read_text()
