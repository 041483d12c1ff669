"""A metric of a region: one entry and one function carry it from images to a table and a figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from relad.fileio import read_table
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.results import metrics
from relad.results.figures import distributions
from relad.results.metrics import METRICS, Better, Metric, mask_of, regions
from relad.results.tables.accuracy import accuracy_table
from relad.study.catalogue import BRAIN
from relad.study.paths import synthetic_pet
from tests.helpers.fake_study import AFFINE, SHAPE, FakeStudy, entry

REGION = "occipital"


def bias(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float) -> float:
    return float((prediction - truth)[mask].mean())


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    shown = {"note": "bias is signed", "regions": (REGION,)}
    of_region = Metric("Bias (SUVR)", bias, Better.NEARER_0, 3, **shown)
    monkeypatch.setitem(METRICS, "bias", of_region)
    made = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2, "template": 0.4})
    for run in made.runs:
        assert made.evaluate(*run) == 0
    return made


def test_a_region_is_that_part_of_the_brain() -> None:
    brain = np.zeros(SHAPE, bool)
    brain[: SHAPE[0] // 2] = True  # the left half
    part = mask_of(REGION, brain, AFFINE)
    assert part.any() and not part[~brain].any()
    both = mask_of(REGION, np.ones(SHAPE, bool), AFFINE)
    assert np.array_equal(both & brain, part)
    y = (np.argwhere(both) @ AFFINE[:3, :3].T + AFFINE[:3, 3])[:, 1]
    assert y.max() < -50  # behind
    assert mask_of(BRAIN, brain, AFFINE) is brain


def test_the_best_of_signed_values_is_the_one_nearest_0() -> None:
    values = pd.Series([0.4, -0.1, 0.2], index=[7, 8, 9])
    three = (Better.HIGHER, Better.LOWER, Better.NEARER_0)
    assert [better.best(values) for better in three] == [0.4, -0.1, -0.1]
    assert Better.LOWER.best(values + 1) == pytest.approx(0.9)
    assert Better.NEARER_0.best(values + 0.3) == pytest.approx(0.2)


def test_the_best_of_ratios_is_the_one_off_by_the_smallest_factor() -> None:
    values = pd.Series([0.0, 0.4, 2.0, np.nan], index=[7, 8, 9, 10])
    assert Better.NEARER_1.best(values) == 2.0  # |0.4 - 1| is the smaller difference
    assert Better.NEARER_80.best(values) == 0.4
    assert Better.NEARER_90.best(pd.Series([0.82, 0.98])) == 0.98


def test_every_region_is_known() -> None:
    assert set(regions()) <= {BRAIN, *atlas.REGIONS, *atlas.REFERENCE_REGIONS}


def test_it_is_measured_in_its_region_alone(study: FakeStudy) -> None:
    rows = read_table(study.metrics("study", "unet"))
    where = {(row["metric"], row["region"]) for row in rows}
    # Of a single image; what needs several samples is not there.
    one = {name: of for name, of in METRICS.items() if (of.least_samples or 1) == 1}
    assert where == {(name, region) for name, of in one.items() for region in of.regions}
    assert {"hfen", "spectral_high", "crps"} < set(one) and "spread_skill" not in one
    assert {region for metric, region in where if metric == "bias"} == {REGION}
    row = next(row for row in rows if row["metric"] == "bias")
    subject, tracer = row["subject"], row["tracer"]
    image = load_nifti(study.synthesized("study", "unet") / synthetic_pet(subject, tracer))
    mask = study.mask & atlas.region_mask(REGION, SHAPE, AFFINE)
    expected = bias(image.get_fdata(), study.truth["study", subject, tracer], mask, 4.0)
    assert float(row["value"]) == pytest.approx(expected, abs=1e-6)


def test_a_table_and_a_figure_show_it(study: FakeStudy) -> None:
    shown = {"metrics": ("bias",), "region": REGION}
    table = accuracy_table(study.read(), replace(entry("table", "main"), **shown))
    assert list(table.rows) == [
        "cohort",
        "tracer",
        "method",
        "sampler",
        "evaluations",
        "n",
        "bias",
        "bias_low",
        "bias_high",
        "data",
    ]
    assert table.headers[-1] == "Bias (SUVR)"
    assert f"inside {REGION} in the brain mask" in table.caption
    assert "; bias is signed. " in table.caption
    figure = distributions.draw(study.read(), replace(entry("figure", "distributions"), **shown))
    assert {ax.get_xlabel() for ax in figure.axes} == {"Bias (SUVR)\n→ 0 is best ←"}
    plt.close(figure)


def test_of_several_regions_only_the_one_that_is_asked_for_is_shown(study, monkeypatch) -> None:
    both = replace(METRICS["bias"], regions=(REGION, "frontal"))
    monkeypatch.setitem(METRICS, "bias", both)
    for run in study.runs:
        assert study.evaluate(*run) == 0
    main, read = entry("table", "main"), study.read()
    for region in both.regions:
        values = read.values(replace(main, metrics=("bias",), region=region), ["unet"])
        scores = read.scores[(read.scores["region"] == region) & (read.scores["method"] == "unet")]
        expected = scores.loc[scores["cohort"] == "study", "value"]
        assert sorted(values["bias"]) == pytest.approx(sorted(expected))


def test_tables_of_the_brain_do_not_change_by_it(study: FakeStudy, monkeypatch) -> None:
    with_region = accuracy_table(study.read(), entry("table", "main")).rows
    for run in study.runs:
        study.metrics(*run).unlink()
    monkeypatch.delitem(metrics.METRICS, "bias")
    for run in study.runs:
        study.evaluate(*run)
    assert accuracy_table(study.read(), entry("table", "main")).rows.equals(with_region)


def test_a_region_without_a_voxel_in_the_brain_is_named(
    study: FakeStudy, capsys, monkeypatch
) -> None:
    of_brainstem = replace(METRICS["bias"], regions=("brainstem",))
    monkeypatch.setitem(METRICS, "bias", of_brainstem)
    monkeypatch.setattr(atlas, "region_mask", lambda region, shape, affine: np.zeros(shape, bool))
    assert study.evaluate("study", "unet") == 2
    assert "the mask of the region brainstem is empty" in capsys.readouterr().err
