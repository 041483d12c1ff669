"""Decisions: verdicts of planted differences, families, seeds, sentences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from relad.errors import ReladError
from relad.results.decisions import Verdict, against_first, decide
from relad.results.sentences import sentence
from relad.results.statistics import PairedComparison, holm, paired_comparison
from relad.results.study import Study
from relad.results.tables.decisions import decisions_table
from relad.results.tables.ranks import ranks
from relad.results.trainings import OverTrainings
from tests.helpers.fake_study import entry, score, scores_of

N = 20
DECISIONS = replace(entry("table", "decisions"), metrics=("psnr",))


@pytest.fixture
def planted(tmp_path):
    """Make a study of 20 people in which methods differ from "rela" by what is said."""

    def make(metric: str = "psnr", seeds: int = 1, folds: int = 4, **differences) -> Study:
        rng = np.random.default_rng(0)
        people = rng.normal(20, 1, N)
        values = {"rela": np.tile(people, (seeds, 1))}
        for name, (mean, spread, *over_seeds) in differences.items():
            noise = mean + spread * rng.normal(0, 1, N)
            shifts = over_seeds or [0.0] * seeds
            values[name] = people + noise + np.reshape(shifts, (-1, 1))
        rows = [
            score(
                method=name, metric=metric, subject=f"S{i}", fold=i % folds, seed=seed, value=value
            )
            for name, of in values.items()
            for seed, row in enumerate(of)
            for i, value in enumerate(row)
        ]
        return scores_of(tmp_path, *rows)

    return make


def by_method(study: Study, result=DECISIONS) -> dict:
    return {found.method: found for found in decide(study, result)}


def test_verdicts_of_planted_differences(planted):
    found = by_method(planted(unet=(1.0, 0.5), template=(-3.0, 0.5)))
    assert {m: d.verdict for m, d in found.items()} == {
        "unet": Verdict.BETTER,
        "template": Verdict.WORSE,
    }
    assert found["unet"].comparison.difference == pytest.approx(1.0, abs=0.3)
    assert {(d.reference, d.metric, d.cohort, d.data) for d in found.values()} == {
        ("rela", "psnr", "study", "simulated")
    }


def test_of_an_error_less_is_better(planted):
    found = by_method(planted("mae", unet=(-1.0, 0.5)), replace(DECISIONS, metrics=("mae",)))
    assert found["unet"].verdict is Verdict.BETTER
    assert found["unet"].comparison.effect < 0


def test_no_difference_found_is_open_and_none_shown_is_alike(planted):
    found = by_method(planted(unet=(0.0, 2.0), template=(0.05, 0.1)))
    assert found["unet"].verdict is Verdict.OPEN
    assert found["template"].verdict is Verdict.ALIKE
    assert found["template"].margin == 0.3


def test_a_difference_that_is_certain_and_does_not_matter_is_alike(planted):
    found = by_method(planted(unet=(0.1, 0.02)))["unet"]
    assert found.p_holm < 0.001
    assert found.verdict is Verdict.ALIKE


def test_without_a_margin_nothing_is_alike(planted):
    study = planted(unet=(0.0, 0.01))
    study.settings = replace(
        study.settings, evaluation=replace(study.settings.evaluation, margins={})
    )
    found = by_method(study)["unet"]
    assert found.verdict is not Verdict.ALIKE
    assert math.isnan(found.margin)
    assert math.isnan(found.p_alike)


def test_p_is_corrected_over_the_methods_of_a_cohort_and_metric(planted):
    study = planted(unet=(0.6, 1.0), template=(0.5, 1.0))
    found = by_method(study)
    values = study.values(DECISIONS, ["rela", "unet", "template"])
    psnr = values.pivot(index="subject", columns="method", values="psnr")
    p = [paired_comparison(psnr[m], psnr["rela"]).p for m in ("unet", "template")]
    assert [found[m].p_holm for m in ("unet", "template")] == pytest.approx(list(holm(p)))
    assert [found[m].comparison.p for m in ("unet", "template")] == pytest.approx(p)


def test_another_metric_is_another_family(fake):
    found = decide(fake.read(), replace(DECISIONS, metrics=("psnr", "mae")))
    assert [(d.metric, d.family) for d in found] == [("psnr", 2)] * 2 + [("mae", 2)] * 2


def test_a_difference_smaller_than_that_of_seeds_is_none(planted):
    """Half a dB in each of 20 people, but seeds move the mean by more than that."""
    firm = by_method(planted(seeds=2, unet=(0.5, 0.2, -0.1, 0.1)))["unet"]
    assert (firm.verdict, firm.seeds) == (Verdict.BETTER, 2)
    assert firm.seed_spread == pytest.approx(np.std([-0.1, 0.1], ddof=1))
    loose = by_method(planted(seeds=2, unet=(0.5, 0.2, -0.6, 0.6)))["unet"]
    assert loose.verdict is Verdict.TRAININGS
    assert loose.seed_spread == pytest.approx(np.std([-0.6, 0.6], ddof=1))


def test_nothing_is_alike_where_seeds_differ_by_more_than_the_margin(planted):
    """One training is 1 dB worse and another 1 dB better: on average they are the same."""
    study = planted(seeds=2, unet=(0.0, 0.1, -1.0, 1.0), template=(0.0, 0.1, -0.1, 0.1))
    found = by_method(study)
    assert found["unet"].p_alike < 0.001
    assert found["unet"].verdict is Verdict.TRAININGS
    assert found["template"].verdict is Verdict.ALIKE
    told = sentence(found["unet"], study)
    assert "differ in PSNR (dB) by less than 0.3 (p = " in told
    assert told.endswith(", n = 20, p = 0.81 corrected over 2), but seeds by more (1.41 over 2).")
    assert sentence(found["template"], study).endswith(", p = 0.18, 2 seeds).")
    assert "with more than the margin nothing is alike" in decisions_table(study, DECISIONS).caption


def test_the_spread_over_seeds_is_over_the_same_people(tmp_path):
    """A second seed of five people of twenty, who are worse off: not the seed, but who they are."""
    rows = [
        score(
            method=method, subject=f"S{i:02}", seed=seed, value=20 + 0.5 * i + gain + 0.01 * (i % 3)
        )
        for method, gain in (("rela", 0.0), ("unet", 1.0))
        for seed, people in ((0, 20), (1, 5))
        for i in range(people)
    ]
    found = by_method(scores_of(tmp_path, *rows))["unet"]
    assert (found.seeds, found.verdict) == (2, Verdict.BETTER)
    assert found.seed_spread == pytest.approx(0.0, abs=1e-9)


def test_seeds_that_tested_nobody_in_common_have_no_spread(tmp_path):
    rows = [
        score(method=method, subject=f"S{i}", fold=seed, seed=seed, value=20 + i + gain)
        for method, gain in (("rela", 0.0), ("unet", 1.0))
        for i, seed in enumerate([0, 0, 1, 1])
    ]
    study = scores_of(tmp_path, *rows)
    found = by_method(study)["unet"]
    assert found.seeds == 2 and math.isnan(found.seed_spread)
    unknown = "their spread is not known, since nobody was tested with all"
    assert f"nothing is alike; {unknown} (study)." in decisions_table(study, DECISIONS).caption
    told = sentence(replace(found, verdict=Verdict.BETTER), study)
    assert told.endswith(f", 2 seeds ({unknown})).")


def test_one_seed_has_no_spread(planted):
    found = by_method(planted(unet=(1.0, 0.2)))["unet"]
    assert found.seeds == 1
    assert math.isnan(found.seed_spread)


def test_two_methods_that_give_the_same_are_told(planted):
    study = planted(unet=(0.0, 0.0))
    found = by_method(study)["unet"]
    assert found.verdict is Verdict.SAME
    assert "are they one method?" in sentence(found, study)


def test_a_metric_with_a_right_value_is_compared_by_its_distance(tmp_path):
    """-1 and +1 dB are equally wrong; 3 dB too much is worse than 1 dB too little."""
    rng = np.random.default_rng(0)
    rows = [
        score(
            method=m,
            metric="spectral_high",
            subject=f"S{i}",
            fold=i % 4,
            value=v + 0.01 * rng.normal(),
        )
        for m, v in (("rela", -1.0), ("unet", 1.0), ("template", 3.0))
        for i in range(N)
    ]
    study = scores_of(tmp_path, *rows)
    evaluation = replace(study.settings.evaluation, margins={"spectral_high": 0.5})
    study.settings = replace(study.settings, evaluation=evaluation)
    found = by_method(study, replace(DECISIONS, metrics=("spectral_high",)))
    assert found["template"].comparison.difference == pytest.approx(2.0, abs=0.02)
    assert found["template"].verdict is Verdict.WORSE
    assert found["unet"].comparison.difference == pytest.approx(0.0, abs=0.02)
    assert found["unet"].verdict is Verdict.ALIKE
    told = sentence(found["unet"], study)
    assert "are alike in their distance from 0 in Spectral power" in told, told
    assert "it differs by less than 0.5" in told
    assert "difference of the distances from 0 +2.0" in sentence(found["template"], study)


def test_too_much_with_one_seed_does_not_make_up_for_too_little_with_another(tmp_path):
    """-3 and +3 dB are 3 dB off, not 0: of seeds, of the folds' models elsewhere, and in ranks."""
    rng = np.random.default_rng(0)
    rows = [
        score(
            metric="spectral_high",
            subject=f"S{i}",
            value=value + 0.01 * rng.normal(),
            **{"method": method, "cohort": cohort, run: k},
        )
        for cohort, run in (("study", "seed"), ("elsewhere", "fold"))
        for method, values in (("rela", (-1.0, -1.0)), ("unet", (-3.0, 3.0)))
        for k, value in enumerate(values)
        for i in range(N)
    ]
    study = scores_of(tmp_path, *rows)
    for name in ("decisions", "decisions_external"):
        found = by_method(study, replace(entry("table", name), metrics=("spectral_high",)))["unet"]
        assert found.verdict is Verdict.WORSE
        assert found.comparison.difference == pytest.approx(2.0, abs=0.02)
    home = by_method(study, replace(DECISIONS, metrics=("spectral_high",)))["unet"]
    assert (home.seeds, home.seed_spread) == (2, pytest.approx(0.0, abs=0.02))
    placed = ranks(study, replace(entry("table", "ranks"), metrics=("spectral_high",)))
    assert list(placed["method"][placed["rank"] == 1]) == ["rela"]


def test_tracers_of_a_subject_are_one_value(tmp_path):
    """Two tracers of ten people are ten observations."""
    rows = [
        score(method=m, tracer=t, subject=f"S{i}", value=20 + i + d + (t == "tau"))
        for m, d in (("rela", 0.0), ("unet", 1.0))
        for t in ("tau", "amyloid")
        for i in range(10)
    ]
    found = by_method(scores_of(tmp_path, *rows))["unet"]
    assert found.comparison.n == 10
    assert found.comparison.p == pytest.approx(2 / 2**10)


def test_ablations_are_compared_with_their_full_method(fake):
    study = fake.read()
    found = decide(study, replace(entry("table", "decisions_ablation"), metrics=("psnr",)))
    assert [(d.method, d.reference) for d in found] == [("rela-no-t1w", "rela")]


def test_without_its_reference_nothing_is_decided(planted):
    study = planted(unet=(1.0, 0.1))
    study.scores = study.scores[study.scores["method"] != "rela"]
    assert decide(study, DECISIONS) == []


def test_what_is_infinite_is_named(planted):
    study = planted(unet=(1.0, 0.1))
    at = study.scores.index[(study.scores["method"] == "unet") & (study.scores["subject"] == "S3")]
    study.scores.loc[at, "value"] = np.inf
    with pytest.raises(
        ReladError, match=r"metrics\.csv: psnr of unet is infinite for subject S3 of study"
    ):
        decide(study, DECISIONS)


def test_other_cohorts_are_decided_apart(tmp_path):
    rows = [
        score(cohort=c, method=m, subject=f"S{i}", fold=fold, value=20 + i + d * sign)
        for c, sign in (("study", 1), ("elsewhere", -1))
        for m, d in (("rela", 0.0), ("unet", 1.0))
        for i in range(10)
        for fold in ((i % 2,) if c == "study" else (0, 1))
    ]
    study = scores_of(tmp_path, *rows)
    home = by_method(study)["unet"]
    away = by_method(study, replace(entry("table", "decisions_external"), metrics=("psnr",)))[
        "unet"
    ]
    assert (home.cohort, home.verdict) == ("study", Verdict.BETTER)
    assert (away.cohort, away.verdict) == ("elsewhere", Verdict.WORSE)


# --- over trainings -------------------------------------------------------------------------------


def test_what_trainings_do_not_agree_on_is_none_of_the_methods(tmp_path):
    """One of four trainings was lucky by 2 dB: forty people are sure of it, four trainings not."""
    rng = np.random.default_rng(0)
    rows = [
        score(method=m, subject=f"S{i}", fold=i % 4, value=20 + i + gain + 0.1 * rng.normal())
        for i in range(40)
        for m, gain in (("rela", 0.0), ("unet", (2.0, 0.1, 0.0, 0.1)[i % 4]), ("template", -2.0))
    ]
    study = scores_of(tmp_path, *rows)
    found = by_method(study)
    lucky = found["unet"]
    assert lucky.p_holm < 1e-4 and lucky.verdict is Verdict.TRAININGS
    assert lucky.over.trainings == 4 and lucky.p_trainings > 0.3
    assert "but not by more than trainings do (over 4 trainings +0.5" in sentence(lucky, study)
    assert found["template"].verdict is Verdict.WORSE
    p = [found[m].over.p for m in ("unet", "template")]
    assert [found[m].p_trainings for m in ("unet", "template")] == pytest.approx(list(holm(p)))
    # What people alone could have shown is less than what would have been believed.
    assert lucky.detectable == pytest.approx(lucky.over.detectable(level=0.025, power=0.8))
    assert lucky.detectable > 1.5
    told = decisions_table(study, DECISIONS)
    assert told.summary[-1] == "1 of 2 are decided of these networks, not of the methods"


def test_what_trainings_do_not_agree_on_is_not_alike(tmp_path):
    """On average nothing: half of the trainings are 1 dB above and half below."""
    rows = [
        score(method=m, subject=f"S{i}", fold=i % 4, value=20 + i + gain + 0.01 * (i % 3))
        for i in range(400)
        for m, gain in (("rela", 0.0), ("unet", (1.0, -1.0, 1.0, -1.0)[i % 4]))
    ]
    found = by_method(scores_of(tmp_path, *rows))["unet"]
    assert abs(found.comparison.difference) < 0.1
    assert found.verdict is Verdict.OPEN and found.p_alike > 0.2


def test_what_some_people_carry_the_other_way_is_not_decided(tmp_path):
    """Nine of ten gain 0.3 dB and one loses 8, in every fold: most gain, and the mean falls."""
    rows = [
        score(method=m, subject=f"S{i}", fold=i % 4, value=20 + i + gain + 0.01 * (i % 3))
        for i in range(80)
        for m, gain in (("rela", 0.0), ("unet", -8.0 if i // 4 % 10 == 0 else 0.3 + 0.001 * i))
    ]
    study = scores_of(tmp_path, *rows)
    found = by_method(study)["unet"]
    assert found.comparison.difference > 0.3 > 0 > found.over.difference
    assert found.p_holm < 0.01 and found.p_trainings < 0.01
    assert found.verdict is Verdict.TRAININGS
    assert "but on average the other way (over 4 trainings -0.49" in sentence(found, study)


def test_one_training_tells_of_its_networks_alone(planted):
    study = planted(folds=1, unet=(1.0, 0.2))
    found = by_method(study)["unet"]
    assert found.over is None and math.isnan(found.p_trainings)
    assert found.verdict is Verdict.ONE_TRAINING
    assert "U-Net (L1) is better than RelA-Diffusion" in sentence(found, study)
    assert "which tells of these networks" in decisions_table(study, DECISIONS).caption


def test_another_seed_is_no_other_training_of_what_the_fold_determines(planted):
    """As ridge regression and a template are the same with every seed, and a network is not."""

    def found(folds: int) -> dict:
        study = planted(seeds=4, folds=folds, unet=(1.5, 0.2), template=(-1.0, 0.2))
        study.settings.methods["unet"] = replace(study.settings.methods["unet"], family="floor")
        others = against_first(study, DECISIONS, ["template", "unet", "rela"])
        return {decision.method: decision for decision in others}

    of_one = found(folds=1)
    assert of_one["unet"].over is None and of_one["unet"].verdict is Verdict.ONE_TRAINING
    assert of_one["rela"].over.trainings == 4 and of_one["rela"].verdict is Verdict.BETTER
    of_four = found(folds=4)["unet"]
    assert of_four.over.trainings == 4 and of_four.verdict is Verdict.BETTER


def test_elsewhere_people_and_trainings_are_both_samples(tmp_path):
    """Ten people tested by two folds' models: neither spread alone is the error."""
    rng = np.random.default_rng(0)
    rows = [
        score(cohort="elsewhere", method=m, subject=f"S{i}", fold=f, value=20 + gain * (i + f))
        for m, gain in (("rela", 0.0), ("unet", rng.normal(0.1, 0.02)))
        for i in range(10)
        for f in (0, 1)
    ]
    result = replace(entry("table", "decisions_external"), metrics=("psnr",))
    over = by_method(scores_of(tmp_path, *rows), result)["unet"].over
    gain = over.difference / 5
    people = gain**2 * np.var(np.arange(10), ddof=1) / 10
    assert over.error**2 == pytest.approx(people + gain**2 * 0.5 / 2)


# --- sentences ------------------------------------------------------------------------------------


def decision(study: Study, verdict: Verdict, **changes):
    found = by_method(study)["unet"]
    test = PairedComparison(20, 1.234, (0.5, 2.0), 0.002, 0.9, 2.0**-19, 1.0)
    known = {"comparison": test, "p_holm": 0.004, "p_alike": 0.5, "family": 2, "seeds": 1}
    known |= {"over": OverTrainings(5, 1.2, 0.1, 4.0), "p_trainings": 0.006}
    return replace(found, verdict=verdict, **{**known, "detectable": 0.75, **changes})


@pytest.fixture
def said(planted):
    study = planted(unet=(1.0, 0.5))
    return lambda verdict, **changes: sentence(decision(study, verdict, **changes), study)


def test_sentences_hold_the_numbers(said):
    shown = "difference +1.23 [0.50, 2.00], n = 20, p = 0.004 corrected over 2"
    over = "over 5 trainings +1.20 [0.92, 1.48], p = 0.006"
    assert said(Verdict.BETTER) == (
        f"U-Net (L1) is better than RelA-Diffusion in PSNR (dB) ({shown}, {over}, one seed)."
    )
    assert said(Verdict.WORSE, seeds=3, seed_spread=0.1) == (
        f"U-Net (L1) is worse than RelA-Diffusion in PSNR (dB) ({shown}, {over}, 3 seeds)."
    )
    assert said(Verdict.ALIKE, p_alike=0.01) == (
        "U-Net (L1) and RelA-Diffusion are alike in PSNR (dB): they differ by less than 0.3 "
        f"(p = 0.01; {shown}, {over}, one seed)."
    )
    assert said(Verdict.OPEN) == (
        f"U-Net (L1) and RelA-Diffusion cannot be told apart by PSNR (dB) ({shown}; 0.75 would "
        "have been found with 80% power)."
    )
    differs = f"U-Net (L1) differs from RelA-Diffusion in PSNR (dB) ({shown}), but "
    assert said(Verdict.TRAININGS, seeds=2, seed_spread=1.5) == (
        f"{differs}by less than seeds do (1.50 over 2)."
    )
    assert said(Verdict.TRAININGS, p_trainings=0.2) == (
        f"{differs}not by more than trainings do ({over.replace('0.006', '0.2')})."
    )
    assert said(Verdict.ONE_TRAINING, over=None, p_trainings=math.nan) == (
        "In the one training of each, U-Net (L1) is better than RelA-Diffusion in PSNR (dB) "
        f"({shown}, one seed); of the methods this tells nothing."
    )


def test_a_sentence_says_where_no_p_is_small_enough(said):
    few = PairedComparison(5, 1.0, None, 0.0625, 1.0, 0.0625, 1.0)
    text = said(Verdict.OPEN, comparison=few, p_holm=0.125, detectable=math.inf)
    assert text.endswith(
        "n = 5, p = 0.12 corrected over 2; with so few subjects no p below 0.12 can be reached)."
    )


@pytest.mark.parametrize("n", [1, 2])
def test_where_no_p_is_below_1_no_difference_can_be_found(said, n):
    """A p of 4 is none."""
    few = PairedComparison(n, 1.0, None, 1.0, 1.0, 2.0 ** (1 - n), 0.0)
    text = said(Verdict.OPEN, comparison=few, p_holm=1.0, family=4, detectable=math.inf)
    assert text.endswith("with so few subjects no difference can be found).")


def test_verdicts_have_one_spelling():
    assert len({v.value for v in Verdict}) == len(Verdict)
    assert pd.Series([v.value for v in Verdict]).str.islower().all()
