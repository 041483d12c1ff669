"""Tables of image quality: rows, intervals, captions, and who beats the floor."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from relad.errors import ReladError
from relad.fileio import read_table
from relad.results.decisions import Verdict, against_first
from relad.results.scores import mean_over_tracers
from relad.results.statistics import hodges_lehmann, mean_interval
from relad.results.study import Study
from relad.results.tables.accuracy import accuracy_table, main_table
from relad.results.tables.runtime import runtime_table
from relad.study.settings import ResultSettings, plain, typed
from tests.helpers.fake_study import FakeStudy, entry, make_settings, score, scores_of

MAIN = entry("table", "main")
VALUES = {"psnr": 20.0, "ssim": 0.5, "ssim_open": 0.7, "mae": 0.1}


def changed(metric: str, gain: float) -> float:
    """A value of a metric in a study where PSNR is better by ``gain``."""
    return VALUES[metric] + (gain if metric == "psnr" else 0.0)


def rows(table, *columns: str) -> list[tuple]:
    return list(table.rows[list(columns)].itertuples(index=False, name=None))


def test_main_table_has_a_row_per_tracer_and_method(study):
    table = main_table(study, MAIN)
    assert " ".join(table.rows) == (
        "cohort tracer method sampler evaluations n psnr psnr_low psnr_high ssim ssim_low "
        "ssim_high ssim_open ssim_open_low ssim_open_high mae mae_low mae_high data"
    )
    assert rows(table, "cohort", "tracer", "method", "n", "data") == [
        ("study", tracer, method, n, "simulated")
        for tracer, n in (("tau", 4), ("amyloid", 3))
        for method in ("rela", "unet", "template")
    ]
    made = {("ddim-10", 10), ("forward", 1)}
    assert set(rows(table, "sampler", "evaluations")) == made
    assert [cell.text for cell in table.groups[0][0][:5]] == [
        *("study", "tau (AV1451)", "RelA-Diffusion", "10 ddim steps, one sample", "10")
    ]


def test_external_table_shows_the_main_methods_elsewhere(study):
    table = accuracy_table(study, entry("table", "external"))
    assert rows(table, "cohort", "tracer", "method", "n") == [
        ("elsewhere", tracer, method, n)
        for tracer, n in (("tau", 8), ("amyloid", 7))
        for method in ("rela", "unet", "template")
    ]


def test_ablation_table_shows_the_full_method_first(study):
    table = accuracy_table(study, entry("table", "ablation"))
    assert rows(table, "cohort", "method") == [("study", "rela"), ("study", "rela-no-t1w")] * 2


def test_a_full_method_without_ablations_makes_no_table(study):
    study.scores = study.scores[study.scores["method"] == "rela"]
    assert accuracy_table(study, entry("table", "ablation")) is None


def test_nothing_makes_no_table(study):
    study.scores = study.scores[:0]
    assert main_table(study, MAIN) is None


def test_means_and_intervals_are_over_subjects(fake, study):
    table = main_table(study, MAIN).rows
    row = table[(table["tracer"] == "tau") & (table["method"] == "unet")].iloc[0]
    written = read_table(fake.metrics("study", "unet"))
    values = [float(r["value"]) for r in written if (r["tracer"], r["metric"]) == ("tau", "mae")]
    assert row["mae"] == np.mean(values)
    interval = mean_interval(values, level=0.95)
    assert (row["mae_low"], row["mae_high"]) == interval
    assert row["mae_low"] < row["mae"] < row["mae_high"]


def test_the_caption_says_what_the_numbers_are(study):
    table = main_table(study, MAIN)
    assert table.warning == "SIMULATED DATA (digital phantoms, no patients)"
    assert table.caption.startswith("Main comparison: study, n = 4 (tau), 3 (amyloid) subjects.")
    for part in (
        "95% interval over subjects, Student's t",
        "averaged over seeds.",
        "brain mask",
        "data range 4 (tau), 3 (amyloid) SUVR",
        "SSIM is 3D",
    ):
        assert part in table.caption
    # Not what tests can decide: five people are alike with a p of 1/32.
    assert table.caption.endswith(" With n = 3 the intervals are too rough.")


def test_an_external_caption_says_that_models_are_averaged_and_enough_subjects_warn_nobody(study):
    caption = accuracy_table(study, entry("table", "external")).caption
    assert "averaged over seeds and over the folds' models." in caption
    assert "too rough" not in caption


@pytest.mark.parametrize(("kind", "note"), [("real", ""), ("hybrid", "REAL MRI, SIMULATED PET")])
def test_the_kind_of_data_comes_from_the_data(tmp_path, kind, note):
    every = [score(data=kind, metric=m, value=v) for m, v in VALUES.items()]
    table = main_table(scores_of(tmp_path, *every), MAIN)
    assert table.warning == note
    assert rows(table, "data") == [(kind,)]
    assert "SIMULATED DATA" not in table.markdown() + table.tex()


def test_the_best_method_is_bold(study):
    tau, amyloid = main_table(study, MAIN).groups
    for group in (tau, amyloid):
        assert group[0][2].text == "RelA-Diffusion"
        assert [sum(cell.bold for cell in row) for row in group] == [4, 0, 0]


def test_methods_that_read_the_same_share_the_bold(tmp_path):
    every = [
        score(method=method, subject=subject, metric=metric, value=value + tiny)
        for metric, value in VALUES.items()
        for method, tiny in (("rela", 0.0), ("unet", 1e-6))
        for subject in "AB"
    ]
    table = main_table(scores_of(tmp_path, *every), MAIN)
    assert all(cell.bold for row in table.groups[0] for cell in row[6:])


def test_one_subject_has_no_interval_and_one_method_is_not_the_best(tmp_path):
    every = [score(metric=metric, value=value) for metric, value in VALUES.items()]
    table = main_table(scores_of(tmp_path, *every), MAIN)
    assert [(cell.text, cell.bold) for cell in table.groups[0][0][6:]] == [
        ("20.00", False),
        ("0.500", False),
        ("0.700", False),
        ("0.100", False),
    ]
    table.write(tmp_path)
    (row,) = read_table(tmp_path / "main.csv")
    assert (row["psnr"], row["psnr_low"], row["psnr_high"]) == ("20.000000", None, None)


def test_a_group_has_a_table_of_its_methods(fake, tmp_path):
    settings = make_settings()
    for name in ("unet", "rela"):
        settings["methods"][name] |= {"groups": ["main", "my_group"], "updates": 2000}
    result = entry("table", "my_group", settings)
    values = {metric: VALUES.get(metric, 0.5) for metric in result.metrics}
    metrics = [score(method=m, metric=k, value=v) for m in fake.errors for k, v in values.items()]
    study = scores_of(tmp_path, *metrics, settings=settings)
    study.models = [
        replace(model, counts={"updates": 1990}) for model in fake.read().models
    ]  # as trained, whatever the configuration says now
    table = accuracy_table(study, result)
    assert rows(table, "method") == [("rela",), ("unet",)]
    assert table.caption.startswith("my group: study, n = 1 subjects.")
    assert "Trained for 1,990 updates each." in table.caption


def test_a_study_of_usual_length_does_not_say_how_long_it_trained(study):
    assert "Trained for" not in main_table(study, MAIN).caption


def test_the_summary_tells_the_gain_over_the_floor(study):
    table = main_table(study, MAIN)
    head, *lines, few = table.summary
    assert "relative to Mean template" in head
    assert few == "  With n = 4 no p below 0.25 can be reached"
    assert [line.split()[0] for line in lines] == ["RelA-Diffusion", "U-Net"]
    values = mean_over_tracers(study.values(MAIN, ["rela", "template"]))
    psnr = values.pivot(index="subject", columns="method", values="psnr")
    gain, _ = hodges_lehmann(psnr["rela"] - psnr["template"], level=0.95)
    assert f"{gain:+.2f} dB" in lines[0]


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([1, 2, 1, 2, 1, 2, 1, 2], "above the floor, of one training"),
        ([-1, -2, -1, -2, -1, -2, -1, -2], "BELOW the floor, of one training"),
        ([9, 9, 9, -1, -2, -3, -1, -1], "not told from the floor (p"),  # its mean is above
        ([1, 2, 1, 2, 1], "not told from the floor (p"),  # 2 / 2^5 = 0.06
    ],
)
def test_the_floor_is_beaten_where_the_paired_test_says_so(tmp_path, gains, verdict):
    every = [
        score(method=method, subject=f"S{i}", metric=metric, value=changed(metric, i + add))
        for metric in VALUES
        for i, gain in enumerate(gains)
        for method, add in (("unet", gain + 0.1 * i), ("template", 0.0))
    ]
    head, line, *few = main_table(scores_of(tmp_path, *every), MAIN).summary
    assert f"n = {len(gains)} subjects" in head and verdict in line
    assert bool(few) == (len(gains) < 6)


def test_the_floor_is_beaten_where_trainings_agree(tmp_path):
    """All of twelve people are better off, six of them by a model that had luck."""
    every = [
        score(method=m, subject=f"S{i:02}", fold=i % 2, metric=k, value=changed(k, i + add))
        for k in VALUES
        for i in range(12)
        for m, add in (("unet", (3.0, 0.1)[i % 2] + 0.01 * i), ("template", 0.0))
    ]
    head, line = main_table(scores_of(tmp_path, *every), MAIN).summary
    assert "n = 12 subjects and 2 trainings of each" in head
    assert "not told from the floor by its trainings (p = 0.00049)" in line


@pytest.mark.parametrize(
    ("gain", "luck", "margin", "words", "verdict"),
    [
        (1.0, 1.0, 0.0, "not told from the floor by its trainings", Verdict.TRAININGS),
        (1.0, 0.1, 0.0, "above the floor", Verdict.BETTER),
        (0.2, 0.01, 0.5, "level with the floor", Verdict.ALIKE),
        (0.0, 0.0, 0.0, "the same as the floor", Verdict.SAME),
    ],
)
def test_the_floor_is_beaten_as_the_decisions_have_it(tmp_path, gain, luck, margin, words, verdict):
    """Four folds and two seeds, of which the second had so much luck."""
    every = [
        score(method=m, subject=f"S{i:02}", fold=i % 4, seed=seed, metric=k,
              value=changed(k, i + (m == "unet") * (gain * (1 + 0.01 * i) + luck * (2 * seed - 1))))
        for k in VALUES
        for seed in (0, 1)
        for i in range(32)
        for m in ("unet", "template")
    ]  # fmt: skip
    study = scores_of(tmp_path, *every)
    study.settings.evaluation.margins["psnr"] = margin
    _, line = main_table(study, MAIN).summary
    assert f"dB  {words} (p = " in line
    (found,) = against_first(study, replace(MAIN, metrics=("psnr",)), ["template", "unet"])
    assert found.verdict is verdict


def test_what_a_fold_determines_beats_the_floor_by_one_training(tmp_path):
    """Four seeds of one fold are four trainings of a network, and one of ridge regression."""
    every = [
        score(method=m, subject=f"S{i:02}", seed=seed, metric=k, value=changed(k, i + add))
        for k in VALUES
        for seed in range(4)
        for i in range(12)
        for m, add in (("rela", 3 + 0.1 * seed + 0.01 * i), ("unet", 1 + 0.01 * i), ("template", 0))
    ]
    study = scores_of(tmp_path, *every)
    study.settings.methods["unet"] = replace(study.settings.methods["unet"], family="floor")
    head, network, determined = main_table(study, MAIN).summary
    assert "n = 12 subjects and 1 or 4 trainings of each" in head
    assert "  above the floor (p =" in network
    assert "  BELOW the floor, of one training (p =" in determined


def test_the_gain_over_the_floor_is_the_difference_that_was_tested(tmp_path):
    """One person of eighteen is 40 dB better, so that the mean is above: the others are 1 worse."""
    every = [
        score(method=method, subject=f"S{i:02}", metric=metric, value=changed(metric, add))
        for metric in VALUES
        for i in range(18)
        for method, add in (("rela", 0.5), ("unet", -1 if i else 40), ("template", 0))
    ]
    _, first, second = main_table(scores_of(tmp_path, *every), MAIN).summary
    assert re.match(r"  RelA-Diffusion  \+0\.50 dB  above the floor, of one training", first)
    assert re.match(r"  U-Net \(L1\) +-1\.00 dB  BELOW the floor, of one training", second)


def test_an_infinite_gain_over_the_floor_is_refused(tmp_path):
    every = [
        score(method=m, subject=s, metric=metric, value=changed(metric, gain))
        for m, gains in (("unet", (5.0, np.inf)), ("template", (0.0, 1.0)))
        for s, gain in zip("AB", gains, strict=True)
        for metric in MAIN.metrics
    ]
    with pytest.raises(ReladError, match="psnr of unet is infinite for subject B of study"):
        main_table(scores_of(tmp_path, *every), MAIN)


def test_verdicts_are_corrected_for_their_number(tmp_path):
    """Of n = 6 the smallest p is 0.031: one comparison can be decided, two cannot."""
    every = [
        score(method=method, subject=f"S{i}", metric=metric, value=changed(metric, add + 0.1 * i))
        for metric in VALUES
        for i in range(6)
        for method, add in (("rela", 2.0 + 0.1 * i), ("unet", 1.0 + 0.1 * i), ("template", 0.0))
    ]
    summary = main_table(scores_of(tmp_path, *every), MAIN).summary
    assert sum("not told from the floor (p = 0.062)" in line for line in summary) == 2
    alone = [row for row in every if row["method"] != "rela"]
    (tmp_path / "alone").mkdir()
    assert (
        "above the floor, of one training (p = 0.031)"
        in main_table(scores_of(tmp_path / "alone", *alone), MAIN).summary[1]
    )


def test_without_a_floor_and_in_other_tables_there_is_no_summary(study):
    assert accuracy_table(study, entry("table", "external")).summary == []
    study.scores = study.scores[study.scores["method"] != "template"]
    assert main_table(study, replace(MAIN)).summary == []


# --- several samplings of one model -------------------------------------------------------------


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> Study:
    """One model in one evaluation and as the mean of eight samples; and a floor."""
    settings = make_settings()
    del settings["methods"]["rela-no-t1w"]
    sampled = {**settings["methods"]["rela"], "ablates": "rela", "groups": ["main", "alone"]}
    settings["methods"] = {"rela": settings["methods"]["rela"], "rela-sampled": sampled} | {
        "template": settings["methods"]["template"]
    }
    errors = {"rela": 0.1, "rela-sampled": 0.12, "template": 0.4}
    fake = FakeStudy(tmp_path_factory.mktemp("twice"), 6, settings, errors)
    for cohort in settings["cohorts"]:
        fake.synthesize(cohort, "rela", sampler="regression-1")
        fake.synthesize(cohort, "rela-sampled", sampler="ddim-25x8")
    shutil.rmtree(fake.model("rela-sampled"))  # it has none of its own
    fake.errors = {"rela": 0.1, "template": 0.4}
    models = [fake.model(name) for name in fake.errors]
    fake.errors = errors
    fake.evaluate_all()
    known = typed(ResultSettings, settings)
    every = [[where(*run) for run in fake.runs] for where in (fake.metrics, fake.synthesized)]
    return Study.read(known, every[0], models, every[1])


def test_two_samplings_of_a_model_stand_beside_each_other(twice):
    table = main_table(twice, MAIN)
    first = [[cell.text for cell in row[2:5]] for row in table.groups[0]]
    assert first == [
        ["RelA-Diffusion", "one evaluation", "1"],
        ["RelA-Diffusion", "25 ddim steps, mean of 8", "200"],
        ["Mean template", "one pass", "1"],
    ]
    assert [line.split("  ")[1] for line in table.summary[1:3]] == [
        "RelA-Diffusion, one evaluation",
        "RelA-Diffusion, 25 ddim steps, mean of 8",
    ]


def test_fidelity_shows_one_evaluation_one_sample_and_the_mean(twice):
    table = accuracy_table(twice, entry("table", "fidelity"))
    tau = table.rows[table.rows["tracer"] == "tau"].set_index("sampler")
    assert list(tau.index) == ["regression-1", "ddim-25", "ddim-25x8", "forward"]
    assert list(tau["evaluations"]) == [1, 25, 200, 1]
    assert list(tau["method"]) == ["rela", "rela-sampled", "rela-sampled", "template"]
    # One image has its MAE as CRPS, and no spread.
    single = tau.drop("ddim-25x8")
    assert list(single["crps"]) == pytest.approx(list(single["mae"]))
    assert single["spread_skill"].isna().all() and tau.loc["ddim-25x8", "spread_skill"] > 0.5
    assert tau.loc["ddim-25x8", "crps"] < tau.loc["ddim-25x8", "mae"] < tau.loc["ddim-25", "mae"]
    last = [row[-1] for row in table.groups[0]]
    assert [cell.text == "n/a" for cell in last] == [True, True, False, True]
    assert not any(cell.bold for cell in last)  # the only one is not the best
    for part in ("sigma 1.5 voxels, 12 mm", "0.0625, 0.125 cycles/mm", "voxels of 8 mm"):
        assert part in table.caption


def test_a_tables_missing_values_are_empty_cells(twice, tmp_path):
    accuracy_table(twice, entry("table", "fidelity")).write(tmp_path)
    written = read_table(tmp_path / "fidelity.csv")
    assert [row["spread_skill"] is None for row in written[:4]] == [True, True, False, True]
    assert written[2]["evaluations"] == "200"


def test_the_models_that_both_sample_are_looked_at(twice):
    """Also where the entry that has them is not shown."""
    (model,) = [model for model in twice.models if model.method == "rela"]
    other = replace(model, seed=1, data="packed again")
    study = replace(twice, models=[model, other])
    with pytest.raises(ReladError, match="were trained on different packed data"):
        study.note(entry("table", "alone", plain(twice.settings)))


def test_both_samplings_have_the_costs_of_the_one_model(twice):
    table = runtime_table(twice, entry("table", "runtime"))
    assert [[cell.text for cell in row[:3]] for row in table.groups[0]][:2] == [
        ["RelA-Diffusion", "diffusion", "one evaluation"],
        ["RelA-Diffusion", "diffusion", "25 ddim steps, mean of 8"],
    ]
    costs = table.rows.set_index("method").loc[["rela", "rela-sampled"]]
    assert list(costs["train_seconds"]) == [100.5, 100.5]
    others = [s for s in twice.synthesized if s.method != "rela-sampled"]
    table = runtime_table(replace(twice, synthesized=others), entry("table", "runtime"))
    assert list(table.rows["method"]) == ["rela", "template"]


@pytest.mark.parametrize(("sampler", "metric"), [("ddim-25x8", "spread_skill"), ("ddim-25", "mae")])
def test_samples_that_lack_a_subject_are_not_compared(twice, sampler, metric):
    scores = twice.scores
    lacking = (scores["metric"] == metric) & (scores["subject"] == "941S0004")
    lacking &= scores["sampler"] == sampler
    with pytest.raises(ReladError, match=rf"rela-sampled \({metric}\) and rela .*941S0004"):
        twice.values(entry("table", "fidelity"), list(twice.settings.methods), scores[~lacking])
