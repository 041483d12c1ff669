"""Names of samplings, which stand in result rows and folders."""

from __future__ import annotations

import pytest

from relad.study.sampling import (
    FORWARD,
    SAMPLERS,
    Sampling,
    described,
    evaluations_of,
    one_of,
    samplings,
    whole,
)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("steps", "samples"), [(1, 1), (25, 1), (5, 8)])
@pytest.mark.parametrize("temperature", [1.0, 1.5, 0.75, 2.0])
def test_a_name_and_its_sampling_belong_together(sampler, steps, samples, temperature):
    sampling = Sampling(sampler, steps, samples, temperature)
    assert Sampling.parse(sampling.name) == sampling
    assert sampling.evaluations == (1 if sampler == "regression" else steps) * samples


@pytest.mark.parametrize(
    "name",
    [
        "ddim",
        "ddim-0",
        "rk4-5",
        "ddim-5x1",
        "ddim-5-t1",
        "ddim-5-t0",
        "ddim-5x2-t2",
        "regression-3",
        "ddim-05",
    ],
)
def test_what_names_no_sampling_is_refused(name):
    with pytest.raises(ValueError, match="sampl"):
        Sampling.parse(name)


def test_a_study_lists_each_sampling_once():
    study = {
        "samplings": [
            {"sampler": "regression", "steps": [1, 2], "samples": [1, 4], "temperatures": [1.0]},
            {"sampler": "ddim", "steps": [1, 5], "samples": [1], "temperatures": [1.0]},
            {"sampler": "ddim", "steps": [5], "samples": [1, 2], "temperatures": [1.0, 1.5]},
        ]
    }
    names = [sampling.name for sampling in samplings(study)]
    assert names == [
        *("regression-1", "regression-1x4", "ddim-1", "ddim-5"),
        *("ddim-5-t1.5", "ddim-5x2", "ddim-5-t1.5x2"),
    ]


def test_a_temperature_that_no_name_can_carry_is_refused():
    entry = {"sampler": "ddim", "steps": [5], "samples": [1], "temperatures": [1.2345678]}
    with pytest.raises(ValueError, match=r"temperature 1\.2345678 has too many digits"):
        samplings({"samplings": [entry]})


@pytest.mark.parametrize(
    ("name", "evaluations", "one", "said"),
    [
        ("ddim-25x8", 200, "ddim-25", "25 ddim steps, mean of 8"),
        ("ddim-25", 25, None, "25 ddim steps, one sample"),
        ("ddim-5-t1.5x2", 10, "ddim-5-t1.5", "5 ddim steps at temperature 1.5, mean of 2"),
        ("regression-1", 1, None, "one evaluation"),
        ("regression-1x4", 4, "regression-1", "one evaluation, mean of 4"),
        (FORWARD, 1, None, "one pass"),
        ("my-own", None, None, "my-own"),
    ],
)
def test_a_name_in_result_rows_tells_how_an_image_was_made(name, evaluations, one, said):
    assert (evaluations_of(name), one_of(name), described(name)) == (evaluations, one, said)


def test_one_sample_of_a_mean_is_no_sampling_of_its_own():
    assert whole(["ddim-25", "ddim-25x8", "ddim-25"]) == ["ddim-25x8"]
    assert whole(["ddim-25", "ddim-10x8"]) == ["ddim-25", "ddim-10x8"]
    assert whole(["forward"]) == ["forward"]
