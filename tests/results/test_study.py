"""What a study is read from, and how tables and figures are made of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relad.cli import main
from relad.errors import ReladError
from relad.fileio import read_json, read_table, sha256_of, write_json, write_table
from relad.results.scores import COLUMNS
from relad.results.study import Study
from relad.study.catalogue import FIGURE, RESULTS, SUFFIXES, TABLE
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import FakeStudy, amend, entry, score, scores_of

STEPS = {TABLE: "tables", FIGURE: "figures"}
COMPARED = [
    (r.kind, r.name) for r in RESULTS if r.of_all and r.group == "main" and not r.of_samples
]


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
    assert study.summarize(step, tmp_path / "out", "--only", "calibration") == 2
    told = "METRICS.csv of the training cohort, of a method whose sampling.samples is 2 or more"
    assert told in capsys.readouterr().err
    assert study.summarize(step, tmp_path / "out") == 0
    said = capsys.readouterr().err
    for name in ("ablation", "calibration", "calibration_external"):
        assert f"{step}: nothing given for {name}; left out" in said


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


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_model_tested_on_people_it_knew_is_refused(own, tmp_path, capsys, part):
    record = own.model("unet") / "train.json"
    leaked = own.tested("study")[0]
    subjects = read_json(record)["subjects"]
    amend(record, subjects={**subjects, part: [*subjects[part], leaked]})
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 2
    told = rf"train\.json: unet was tested on people it was trained with \({part}\): {leaked}"
    assert re.search(told, capsys.readouterr().err)


def test_people_elsewhere_may_have_the_labels_of_those_at_home(own, tmp_path):
    """Who is the same person is told by `relad synthesize`, which sees their MRI."""
    record = own.model("unet") / "train.json"
    subjects = read_json(record)["subjects"]
    amend(record, subjects={**subjects, "train": own.tested("elsewhere")})
    metrics = [own.metrics("elsewhere", "unet")]
    settings = typed(ResultSettings, own.settings)
    assert not Study.read(settings, metrics, [own.model("unet")]).scores.empty


def test_methods_and_seeds_with_the_same_values_are_told(tmp_path):
    people = [(subject, 20 + 0.1 * i) for i, subject in enumerate("ABC")]
    rows = [
        score(method=method, subject=subject, seed=seed, value=value + gain)
        for method, gain in (("rela", 0.0), ("unet", 0.0), ("template", 1.0))
        for seed in (0, 1)
        for subject, value in people
    ]
    study = scores_of(tmp_path, *rows)
    rela, unet = study.label("rela"), study.label("unet")
    seeds = "has the same values with seeds 0 and 1 in every row of tau in study (fold 0): "
    seeds += "does it use them?"
    assert study.twins(["rela", "unet", "template"]) == (
        f"{rela} and {unet} have the same values in every row of tau in study (fold 0): are they "
        "one? "
        f"{rela} {seeds} {unet} {seeds}"
    )
    untold = "Trainings not given, so that nobody checked whom the models had seen: "
    untold += "RelA-Diffusion, U-Net (L1), Mean template."
    assert (
        study.note(entry(TABLE, "main")) == f"{untold} {study.twins(list(study.settings.methods))}"
    )
    rows[0]["value"] += 1e-9
    assert scores_of(tmp_path, *rows).twins(["rela", "template"]) == ""
    assert study.twins([]) == ""


def test_methods_of_one_sample_are_told_beside_one_of_several(tmp_path):
    """What is one sample of a mean for one method is the image of another."""
    values = {"rela": (26.0, 25.0), "unet": (25.0,), "template": (25.0,)}
    rows = [
        score(method=method, sampler=sampler, subject=subject, value=value)
        for method, of in values.items()
        for sampler, value in zip(("ddim-25x8", "ddim-25")[-len(of) :], of, strict=True)
        for subject in "AB"
    ]
    study = scores_of(tmp_path, *rows)
    unet, template = study.label("unet"), study.label("template")
    assert study.twins(list(values)) == (
        f"{unet} and {template} have the same values in every row of tau in study (fold 0): "
        "are they one?"
    )


def test_methods_that_are_one_for_a_tracer_alone_are_told(tmp_path):
    rows = [
        score(
            method=method, tracer=tracer, subject=subject, value=20 + (method, tracer).count("tau")
        )
        for method in ("rela", "unet")
        for tracer in ("tau", "amyloid")
        for subject in "AB"
    ]
    rows[-1]["value"] += 1
    told = "have the same values in every row of tau in study (fold 0): are they one?"
    assert scores_of(tmp_path, *rows).twins(["rela", "unet"]).endswith(told)


def test_somebody_whom_no_method_has_values_of_is_missed(own, tmp_path, capsys):
    """Left out of every method's table, he would only lower n.

    All of his PET may be of tracers that a method was not trained for, as the tables' records say.
    """
    gone = own.tested("study")[0]
    for name in own.errors:
        file = own.metrics("study", name)
        rows = [row for row in read_table(file) if row["subject"] != gone]
        write_table(file, rows, COLUMNS)
        amend(file.with_suffix(".json"), table_sha256=sha256_of(file))
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 2
    told = rf"train\.json: \S+ has no values of people whom its fold tests: {gone} -- give the"
    assert re.search(told, capsys.readouterr().err)
    for name in own.errors:
        amend(own.metrics("study", name).with_suffix(".json"), untrained=["tspo"])
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 0


def test_a_table_that_lost_rows_is_known_by_its_record(own, tmp_path, capsys):
    """Of every method alike nothing else misses them: of somebody's tracer, of one metric."""
    for name in own.errors:
        file = own.metrics("study", name)
        rows = read_table(file)
        write_table(file, rows[:-1], COLUMNS)
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 2
    told = r"\.csv: has other rows than were measured, by fold-0_seed-0\.json beside it -- run"
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"made_of": {"packed": [{"path": "x", "sha256": "0"}]}},
            "on different packed data of study",
        ),
        (
            {"data_range_suvr": {"tau": 3.0, "amyloid": 3.0}},
            "with data ranges of 3 and 4 SUVR of tau",
        ),
    ],
)
def test_methods_that_were_measured_otherwise_are_not_compared(own, tmp_path, capsys, change, told):
    record = own.metrics("study", "unet").with_suffix(".json")
    made_of = {**read_json(record)["made_of"], **change.pop("made_of", {})}
    amend(record, made_of=made_of, **change)
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 2
    error = capsys.readouterr().err
    assert re.search(rf"unet/\S+\.csv: and \S+\.csv were measured {told}", error) or re.search(
        rf"\.csv: and \S+unet/\S+\.csv were measured {told.replace('3 and 4', '4 and 3')}", error
    )


def test_metrics_of_another_version_are_told(own, tmp_path):
    record = own.metrics("study", "unet").with_suffix(".json")
    amend(record, provenance={**read_json(record)["provenance"], "code": "another"})
    assert own.summarize("tables", tmp_path / "out", "--only", "main") == 0
    caption = (tmp_path / "out/main.md").read_text(encoding="utf-8")
    assert "measured by different versions of the evaluation's code" in caption


@pytest.mark.parametrize("kind", [TABLE, FIGURE])
def test_what_lacks_the_method_it_is_measured_against_says_so(own, tmp_path, capsys, kind):
    metrics = [own.metrics("study", name) for name in ("unet", "template")]
    assert own.call(STEPS[kind], tmp_path / "out", metrics, "--only", "decisions") == 2
    told = "give METRICS.csv of rela, with which unet, template are compared"
    assert told in capsys.readouterr().err
    assert own.call(STEPS[kind], tmp_path / "out", metrics) == 0
    assert f"nothing given for decisions; left out -- {told}" in capsys.readouterr().err
