"""What a study is read from, and how tables and figures are made of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relad.cli import main
from relad.errors import ReladError
from relad.fileio import read_json, write_json
from relad.results.study import Study
from relad.study.catalogue import FIGURE, RESULTS, SUFFIXES, TABLE
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import FakeStudy, amend, entry

STEPS = {TABLE: "tables", FIGURE: "figures"}
COMPARED = [(r.kind, r.name) for r in RESULTS if r.of_all and r.group == "main"]


@pytest.fixture
def own(fake: FakeStudy, tmp_path: Path) -> FakeStudy:
    """A copy of the made-up study, to be spoilt."""
    return fake.copy(tmp_path / "own")


def test_results_of_methods_that_the_study_lacks_are_refused(fake):
    settings = {**fake.settings, "methods": {"rela": fake.settings["methods"]["rela"]}}
    known = typed(ResultSettings, settings)
    for given in (
        {"models": [fake.model("unet")]},
        {"synthesized": [fake.synthesized(*fake.runs[1])]},
    ):
        with pytest.raises(ReladError, match="method 'unet' is not in the settings"):
            Study.read(known, [], **given)


@pytest.mark.parametrize(("kind", "name"), COMPARED)
def test_models_that_were_trained_differently_are_not_compared(own, tmp_path, capsys, kind, name):
    amend(own.model("unet") / "train.json", data="packed again")
    assert own.summarize(STEPS[kind], tmp_path / "out", "--only", name) == 2
    error = capsys.readouterr().err
    told = f"{own.model('unet')} and {own.model('rela')} were trained on different packed data"
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_an_ablation_is_compared_with_its_base_alone(own, tmp_path, capsys, kind):
    amend(own.model("unet") / "train.json", data="packed again")
    assert own.summarize(STEPS[kind], tmp_path / "out", "--only", "ablation") == 0
    amend(own.model("rela-no-t1w") / "train.json", counts={"updates": 2})
    assert own.summarize(STEPS[kind], tmp_path / "out", "--only", "ablation") == 2
    assert "rela-no-t1w" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "name"), COMPARED)
def test_the_caption_tells_versions_of_the_training_code_apart(own, tmp_path, kind, name):
    file = tmp_path / "out" / f"{name}.{SUFFIXES[kind][-1]}"
    said = (
        "trained by different versions of the training code (RelA-Diffusion, Mean template; U-Net"
    )
    own.summarize(STEPS[kind], tmp_path / "out", "--only", name)
    assert "versions of the training code" not in file.read_text()
    amend(own.model("unet") / "train.json", code={"training": "mended"})
    own.summarize(STEPS[kind], tmp_path / "out", "--only", name)
    assert said in file.read_text()


def test_only_what_a_result_shows_must_be_comparable(own, tmp_path):
    amend(own.model("rela-no-t1w") / "train.json", data="packed again")
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 0


def test_accuracy_is_told_without_models(own, tmp_path):
    metrics = [str(own.metrics(*run)) for run in own.runs]
    out = tmp_path / "out"
    command = ["tables", *metrics, "--only", "main", "--out", str(out)]
    assert main([*command, "--settings", own.settings_file]) == 0


def test_one_result_is_made_alone(fake, tmp_path):
    assert fake.summarize("tables", tmp_path, "--only", "ablation") == 0
    assert {file.name.partition(".")[0] for file in tmp_path.iterdir()} == {"ablation"}


def test_an_unknown_name_is_refused_with_those_there_are(fake, tmp_path, capsys):
    assert fake.summarize("figures", tmp_path, "--only", "no_figure") == 2
    assert re.search("no figure 'no_figure' -- known: .*panels, ", capsys.readouterr().err)


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_what_nothing_is_given_for_is_left_out_or_an_error_when_asked_for(tmp_path, capsys, kind):
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.5})
    study.evaluate_all()
    capsys.readouterr()
    step = STEPS[kind]
    assert study.summarize(step, tmp_path / "out", "--only", "ablation") == 2
    error = capsys.readouterr().err
    assert f"nothing was given for the {kind} 'ablation' -- {entry(kind, 'ablation').hint}" in error
    assert error.count("\n") == 1
    assert study.summarize(step, tmp_path / "out") == 0
    assert f"{step}: nothing given for ablation; left out" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_nothing_at_all_is_an_error(fake, tmp_path, capsys, kind):
    command = [STEPS[kind], "--out", str(tmp_path / "out"), "--settings", fake.settings_file]
    assert main(command) == 2
    assert f"nothing to make a {kind} of" in capsys.readouterr().err


def test_settings_without_a_part_are_refused(fake, tmp_path, capsys):
    file = tmp_path / "settings.json"
    write_json(file, {k: v for k, v in read_json(fake.settings_file).items() if k != "evaluation"})
    assert fake.summarize("tables", tmp_path / "out", "--settings", str(file)) == 2
    assert "the settings lack evaluation" in capsys.readouterr().err
