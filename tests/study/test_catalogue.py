"""The one list of tables and figures: what it says is there, and is said nowhere else."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from types import SimpleNamespace

import jinja2
import pytest

from relad.study import catalogue
from relad.study.catalogue import (
    CEILING,
    FIGURE,
    RESULTS,
    SUFFIXES,
    TABLE,
    Caption,
    Result,
    of_study,
)
from relad.study.paths import REPOSITORY
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import FakeStudy, make_settings


@pytest.fixture
def settings() -> dict:
    """A study with a group of its own, and one with a title."""
    settings = make_settings()
    for name in ("rela", "unet"):
        settings["methods"][name]["groups"] += ["my_group", "presets"]
    return settings


@pytest.fixture
def methods(settings):
    return typed(ResultSettings, settings).methods


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: f"{r.kind} {r.name}")
def test_every_entry_names_a_function_and_says_what_it_shows(result: Result) -> None:
    function = getattr(importlib.import_module(result.module), result.function.split(":")[1])
    assert list(inspect.signature(function).parameters) == ["study", "result"]
    assert result.title and not result.title.endswith(".")
    assert bool(result.caption) == (result.kind == FIGURE)
    assert not result.caption or result.caption.endswith(".")
    assert set(result.needs) <= {"metrics", "models", "synthesized", "packed", CEILING}
    assert result.role in ("train", "external", None)
    assert not result.shows("apply")


def test_names_are_unique() -> None:
    keys = [(result.kind, result.name) for result in RESULTS]
    assert len(set(keys)) == len(keys)


def test_groups_may_not_have_the_name_of_a_result() -> None:
    assert {"external", "samplers", "panels_external", "training_curves"} <= catalogue.names()
    # main and ablation are groups with results of their own
    assert not {"main", "ablation"} & catalogue.names()


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_a_group_has_a_table_and_a_figure_that_all_does_not_make(methods, kind) -> None:
    found = of_study(kind, methods)
    assert list(found)[-2:] == ["my_group", "presets"]
    assert found["my_group"].title == "my group"
    assert found["presets"].title.startswith("The method as we set it")
    assert not found["my_group"].of_all and found["ablation"].of_all
    assert found["my_group"].comparisons(methods) == [["rela", "unet"]]
    assert ("first method" in found["my_group"].caption) == (kind == FIGURE)


def test_a_result_compares_what_its_group_says(methods) -> None:
    tables = of_study(TABLE, methods)
    assert tables["main"].comparisons(methods) == [["rela", "unet", "template"]]
    assert tables["ablation"].comparisons(methods) == [["rela", "rela-no-t1w"]]
    assert ["template"] in tables["samplers"].comparisons(methods)
    without = {name: m for name, m in methods.items() if m.ablates is None}
    assert tables["ablation"].comparisons(without) == []


def test_the_hint_names_what_to_give(methods) -> None:
    figures = of_study(FIGURE, methods)
    assert figures["panels_external"].hint == (
        "give METRICS.csv, --synthesized, --packed of an external cohort"
    )
    assert figures["my_group"].hint.endswith("for the methods of the group my_group")


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_the_help_lists_every_entry(kind) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "relad", f"{kind}s", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for result in RESULTS:
        if result.kind == kind:
            assert f"  {result.name} " in done.stdout and result.title in done.stdout
    assert "GROUP" in done.stdout


def test_another_entry_is_made_like_those_there_are(monkeypatch, made, tmp_path) -> None:
    """One entry and one function: nothing else names it."""
    monkeypatch.setattr(
        catalogue,
        "RESULTS",
        (
            *RESULTS,
            Result(TABLE, "again", "relad.results.tables.accuracy:accuracy_table", "Again"),
            Result(FIGURE, "again", "relad.results.figures.distributions:draw", "Again", "More."),
        ),
    )
    for step, suffix in (("tables", "csv"), ("figures", "png")):
        assert made.summarize(step, tmp_path, "--only", "again") == 0
        assert (tmp_path / f"again.{suffix}").exists()
    assert "again" in catalogue.names()


# --- the report ---------------------------------------------------------------------------------


def reported(rule: str, file) -> str:
    """What the report says of a table or figure."""
    template = (REPOSITORY / "workflow" / "report" / "result.rst").read_text(encoding="utf-8")
    job = SimpleNamespace(rule=rule, params=SimpleNamespace(caption=Caption(file)))
    return jinja2.Template(template).render(snakemake=job)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every table and figure of a study with a group of its own, and of its sampler study."""
    root = tmp_path_factory.mktemp("report")
    settings = make_settings()
    for name in ("rela", "unet"):
        settings["methods"][name]["groups"] += ["my_group"]
    study = FakeStudy(root, subjects=4, settings=settings)
    for cohort in settings["cohorts"]:
        study.synthesize(cohort, "rela", sampler="ddim-10x4")  # whose spread is calibrated
    study.evaluate_all()
    sampled = study.evaluate_samplings()
    for step in ("tables", "figures"):
        assert study.summarize(step, root / step) == 0
        assert study.summarize(step, root / step, "--only", "my_group") == 0
        assert study.call(step, root / step, sampled, "--only", "samplers") == 0
    assert study.summarize("tables", root / "tables", "--only", "spectrum") == 0
    return study


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_every_caption_of_the_report_is_filled_from_what_was_made(made, kind) -> None:
    entries = of_study(kind, typed(ResultSettings, made.settings).methods)
    assert {"my_group", "samplers"} < set(entries)
    for name, result in entries.items():
        text = reported(f"{kind}s", made.root / f"{kind}s" / f"{name}.{SUFFIXES[kind][-1]}")
        assert text.startswith("**SIMULATED DATA (digital phantoms, no patients)**\n\n"), name
        assert result.title in text and result.caption in text
        assert ("LaTeX" in text) == (kind == TABLE)
        assert "|" not in text  # the rows


def test_a_report_of_real_data_has_no_stamp(tmp_path) -> None:
    study = FakeStudy(tmp_path, subjects=4, kind="real")
    study.evaluate_all()
    for kind, step in ((TABLE, "tables"), (FIGURE, "figures")):
        assert study.summarize(step, tmp_path / step) == 0
        texts = [reported(step, file) for file in tmp_path.glob(f"{step}/*.{SUFFIXES[kind][-1]}")]
        assert texts and not any("SIMULATED" in text for text in texts)


def test_a_caption_is_the_path_of_its_file_until_it_is_read(tmp_path) -> None:
    caption = Caption(tmp_path / "later.md")
    assert caption == str(tmp_path / "later.md")
    (tmp_path / "later.md").write_text("**STAMP**\n\nWhat it shows.\n\n| a |\n| --- |\n")
    assert caption.read() == "**STAMP**\n\nWhat it shows."
