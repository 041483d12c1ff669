"""The table of samplers."""

from __future__ import annotations

import numpy as np
import pytest

from relad.errors import ReladError
from relad.fileio import read_table
from relad.results.scores import read_scores
from relad.results.tables.samplers import sampler_table
from tests.helpers.fake_study import entry, score, scores_of

SAMPLERS = entry("table", "samplers")


@pytest.fixture
def sampler_study(study, sampled):
    study.scores = read_scores(sampled, study.settings)
    return study


def test_samplings_come_in_order_with_their_evaluations(sampler_study):
    rows = sampler_table(sampler_study, SAMPLERS).rows
    keys = ["method", "sampler", "steps", "temperature", "samples", "evaluations", "data"]
    assert list(rows[keys].itertuples(index=False, name=None)) == [
        ("rela", "ddim", 2, 1, 1, 2, "simulated"),
        ("rela", "ddim", 10, 1, 1, 10, "simulated"),
        ("rela", "ddim", 10, 1, 4, 40, "simulated"),
        ("rela", "ddim", 10, 1.5, 4, 40, "simulated"),
        ("rela", "regression", 1, 1, 1, 1, "simulated"),
    ]


def test_a_subjects_value_is_the_mean_over_its_tracers(sampler_study, sampled):
    values: dict[str, list[float]] = {}
    for row in read_table(sampled[1]):  # ddim-10
        if row["metric"] == "psnr":
            values.setdefault(row["subject"], []).append(float(row["value"]))
    expected = np.mean([np.mean(v) for v in values.values()])
    row = sampler_table(sampler_study, SAMPLERS).rows.iloc[1]
    assert row["psnr"] == pytest.approx(expected, rel=1e-14)
    assert row["n"] == len(values)
    assert row["psnr_low"] <= expected <= row["psnr_high"]


def test_the_best_is_bold_and_the_caption_says_what_is_shown(sampler_study):
    table = sampler_table(sampler_study, SAMPLERS)
    assert table.caption.startswith("Quality against network evaluations: study, n = 4 subjects.")
    assert "SIMULATED DATA" in table.warning
    bold = [[cell.text for cell in row if cell.bold] for row in table.groups[0]]
    # Both means have the same spread over their error, and no other has one.
    assert [len(cells) for cells in bold] == [0, 0, 7, 1, 0]
    spread = [row[-1].text for row in table.groups[0]]
    assert [text == "n/a" for text in spread] == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("change", "told"),
    [({"subject": "X"}, "on the same subjects"), ({"seed": 1}, "with the same folds and seeds")],
)
def test_samplings_of_other_people_or_models_are_not_compared(tmp_path, change, told):
    rows = [
        score(method="rela", metric=metric, subject=f"p{k}", sampler=sampler, value=0.5)
        | (change if (k, sampler) == (2, "ddim-50") else {})
        for metric in SAMPLERS.metrics if metric != "spread_skill"
        for k in range(3) for sampler in ("ddim-2", "ddim-50")
    ]  # fmt: skip
    study = scores_of(tmp_path, *rows)
    told = f"rela by ddim-50 .* and by ddim-2 were not tested {told}"
    with pytest.raises(ReladError, match=told):
        sampler_table(study, SAMPLERS)


def test_a_row_is_named_by_its_own_sampling_and_not_by_its_methods(sampler_study):
    """Which a method has beside its name where it shares both name and model with another."""
    methods = sampler_study.settings.methods
    methods["rela-once"] = methods["rela"]
    of = sampler_study.scores["sampler"] == "ddim-10-t1.5x4"
    sampler_study.scores, sampler_study.synthesized = sampler_study.scores[of], []
    assert sampler_study.label("rela") == (
        "RelA-Diffusion, 10 ddim steps at temperature 1.5, mean of 4"
    )
    ((row,),) = sampler_table(sampler_study, SAMPLERS).groups
    assert [cell.text for cell in row[1:7]] == ["RelA-Diffusion", "ddim", "10", "1.5", "4", "40"]


def test_metrics_of_no_sampling_are_refused(study):
    with pytest.raises(ReladError, match=r"unet: 'forward' names no sampling.*sampler study alone"):
        sampler_table(study, SAMPLERS)


def test_nothing_makes_no_table(study):
    study.scores = study.scores[:0]
    assert sampler_table(study, SAMPLERS) is None
