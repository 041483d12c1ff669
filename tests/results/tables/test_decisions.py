"""Tables of decisions and of ranks, as written."""

from __future__ import annotations

import numpy as np
import pytest

from relad.results.decisions import decide
from relad.results.tables.decisions import decisions_table
from relad.results.tables.ranks import ranks, ranks_table
from tests.helpers.fake_study import entry, score, scores_of

DECISIONS, RANKS = entry("table", "decisions"), entry("table", "ranks")


def test_every_comparison_has_a_row_with_its_numbers(study):
    table, decisions = decisions_table(study, DECISIONS), decide(study, DECISIONS)
    assert len(decisions) == 2 * len(DECISIONS.metrics)
    for row, found in zip(table.rows.to_dict("records"), decisions, strict=True):
        assert (row["metric"], row["method"], row["reference"]) == (
            *(found.metric, found.method),
            "rela",
        )
        assert row["p"] == found.comparison.p
        assert row["p_holm"] == found.p_holm
        assert row["difference"] == found.comparison.difference
        assert row["verdict"] == found.verdict.value
        assert row["n"] == 4
    assert table.rows["difference_low"].isna().all()  # four people have no interval of 95 %
    assert set(table.rows["data"]) == {"simulated"}
    assert table.warning.startswith("SIMULATED")


def test_rows_are_grouped_by_cohort_and_metric(study):
    table = decisions_table(study, DECISIONS)
    assert [len(group) for group in table.groups] == [2] * len(DECISIONS.metrics)
    assert table.groups[0][0][1].text == "PSNR (dB)"
    assert len(table.headers) == len(table.groups[0][0])


def test_nothing_is_bold_that_is_not_decided(study):
    for group in decisions_table(study, DECISIONS).groups:
        for row in group:
            assert row[-1].bold == (row[-1].text in {"better", "worse", "alike"})


def test_the_caption_tells_what_was_tested(study):
    caption = decisions_table(study, DECISIONS).caption
    for part in (
        "study, n = 4",
        "Each method minus RelA-Diffusion",
        "1 seed)",
        "over the 2 methods",
    ):
        assert part in caption
    for table in (decisions_table(study, DECISIONS), ranks_table(study, RANKS)):
        assert "of a metric with a right value, that of the distances from it" in table.caption
    assert "folds' models" in decisions_table(study, entry("table", "decisions_external")).caption


def test_the_summary_says_how_much_is_open(study):
    assert decisions_table(study, DECISIONS).summary[-1].endswith("comparisons are not decided")


@pytest.mark.parametrize("make", [decisions_table, ranks_table])
def test_nothing_makes_no_table(study, make):
    study.scores = study.scores[:0]
    assert make(study, DECISIONS) is None


def test_ranks_follow_the_errors_of_the_methods(study):
    table = ranks_table(study, RANKS).rows.set_index(["metric", "method"])
    for metric in ("psnr", "mae", "ssim"):
        assert list(table.loc[metric]["rank"].round(1)) == [1, 2, 3]
        assert list(table.loc[metric]["first"]) == [1, 0, 0]
    assert (table["rank_low"] <= table["rank"]).all()
    assert (table["rank"] <= table["rank_high"]).all()


def test_ranks_of_few_people_say_so(study, tmp_path):
    assert ranks_table(study, RANKS).caption.endswith("With n = 4 the intervals are too rough.")
    every = [
        score(method=m, subject=f"S{i}", metric=k, value=0.1 * i + 0.01 * len(m))
        for k in RANKS.metrics
        for i in range(6)
        for m in ("rela", "unet")
    ]
    assert "too rough" not in ranks_table(scores_of(tmp_path, *every), RANKS).caption


def test_shares_of_ranks_sum_to_one(study):
    found = ranks(study, RANKS)
    sums = found.groupby(["cohort", "metric", "method"], observed=True)["share"].sum()
    np.testing.assert_allclose(sums, 1)
