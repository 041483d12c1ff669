"""A metric of a region: one entry and one function carry it from images to a table and a figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from relad.data.dataset import PackedDataset
from relad.errors import DataError
from relad.fileio import read_json, read_table
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.results import metrics
from relad.results.figures import distributions
from relad.results.metrics import (
    METRICS,
    Better,
    Metric,
    compare,
    is_covered,
    mask_of,
    regions,
    require_possible,
)
from relad.results.tables.accuracy import accuracy_table
from relad.study.catalogue import BRAIN
from relad.study.paths import synthetic_pet
from tests.helpers.fake_study import AFFINE, SHAPE, FakeStudy, amend, entry

REGION = "thalamus"  # which the made-up brain holds


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
    part = mask_of("occipital", brain, AFFINE)
    assert part.any() and not part[~brain].any()
    both = mask_of("occipital", np.ones(SHAPE, bool), AFFINE)
    assert np.array_equal(both & brain, part)
    y = (np.argwhere(both) @ AFFINE[:3, :3].T + AFFINE[:3, 3])[:, 1]
    assert y.max() < -50  # behind
    assert mask_of(BRAIN, brain, AFFINE) is brain


def test_a_region_of_the_persons_own_ends_where_the_brain_does():
    brain = np.zeros(SHAPE, bool)
    brain[2:, :, 2:] = True
    own = np.zeros(SHAPE, bool)
    own[:5, 1:4] = True
    np.testing.assert_array_equal(mask_of("mine", brain, AFFINE, {"mine": own}), brain & own)


@pytest.mark.parametrize(
    ("metric", "possible", "impossible"),
    [
        ("psnr", (-9.0, 20.0, np.inf), (np.nan,)),
        ("ssim", (-1.0, 1 + 1e-9), (7.5, -1.1)),
        ("ssim_open", (0.5,), (1.1,)),
        ("mae", (0.0, 3.0), (-1.0, np.inf)),
        ("hfen", (0.0, 1.5), (-0.1, np.inf)),
        ("crps", (0.0, 1.5), (-0.1, np.inf)),
        ("spread_skill", (0.0, np.inf), (-0.1,)),
        ("coverage_80", (0.0, 1.0), (-0.1, 80.0)),
        ("spectral_low", (-40.0, 3.0), (np.nan,)),
        ("suvr", (-0.1, 9.0), (np.nan, np.inf, -np.inf)),
        ("suvr_true", (-0.1, 9.0), (np.inf,)),
    ],
)
def test_values_that_a_metric_cannot_have_are_refused(metric, possible, impossible) -> None:
    for value in possible:
        require_possible(metric, value)
    for value in impossible:
        with pytest.raises(DataError, match=rf"rows\.csv: {metric} of \S+ cannot be"):
            require_possible(metric, value, "rows.csv")


@pytest.mark.parametrize(
    ("metric", "value", "why"),
    [
        ("mae", np.inf, "images are finite"),
        ("mae", -1.0, "it lies outside of 0 and more"),
        ("coverage_80", np.inf, "it lies outside of 0 to 1"),
    ],
)
def test_why_a_value_cannot_be_is_told(metric: str, value: float, why: str) -> None:
    with pytest.raises(DataError, match=f"cannot be, {why}"):
        require_possible(metric, value)


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
    assert set(regions()) <= {BRAIN, *atlas.REGIONS, *atlas.REFERENCE_REGIONS, *atlas.COMPOSITES}


def test_it_is_measured_in_its_region_alone(study: FakeStudy) -> None:
    rows = read_table(study.metrics("study", "unet"))
    where = {(row["metric"], row["region"]) for row in rows}
    # Of a single image; what needs several samples is not there.
    one = {name: of for name, of in METRICS.items() if (of.least_samples or 1) == 1}
    covered = [r for r in regions() if is_covered(r, study.mask, AFFINE)]
    assert where == {(name, r) for name, of in one.items() for r in of.regions if r in covered}
    assert {"brain", REGION, "amygdala", "braak_1_3"} < set(covered) < set(regions())
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
    both = replace(METRICS["bias"], regions=(REGION, "hippocampus"))
    monkeypatch.setitem(METRICS, "bias", both)
    for run in study.runs:
        assert study.evaluate(*run) == 0
    main, read = entry("table", "main"), study.read()
    for region in both.regions:
        values = read.values(replace(main, metrics=("bias",), region=region), ["unet"])
        scores = read.scores[(read.scores["region"] == region) & (read.scores["method"] == "unet")]
        scores = scores[scores["metric"] == "bias"]
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


def test_a_region_is_absent_where_less_than_half_of_it_is_brain() -> None:
    region = atlas.region_mask(REGION, SHAPE, AFFINE)
    inside = np.argwhere(region)
    brain = np.zeros(SHAPE, bool)
    brain[tuple(inside[: len(inside) // 2].T)] = True
    assert is_covered(REGION, brain, AFFINE) == (len(inside) % 2 == 0)
    brain[tuple(inside[: len(inside) // 2 - 1].T)] = True
    brain[tuple(inside[len(inside) // 2 - 1].T)] = False
    assert not is_covered(REGION, brain, AFFINE)
    assert is_covered(BRAIN, np.zeros(SHAPE, bool), AFFINE)  # an empty one is refused elsewhere


def test_an_absent_region_is_said_and_has_no_rows(study: FakeStudy, capsys) -> None:
    assert study.evaluate("study", "unet") == 0
    told = "less than 50% of the region brainstem lies in the brain mask of 941S0003: no rows of it"
    assert told not in capsys.readouterr().err
    masks = np.load(study.packed("study") / "mask.npy").copy()
    masks[2] &= ~atlas.region_mask("brainstem", SHAPE, AFFINE)
    np.save(study.packed("study") / "mask.npy", masks)
    assert study.evaluate("study", "unet") == 0
    assert told in capsys.readouterr().err
    record = read_json(study.metrics("study", "unet").with_suffix(".json"))
    assert record["regions_absent"]["brainstem"] == ["941S0003"]
    assert record["regions_absent"]["cortex"] == ["941S0003", "941S0004"]  # the fake brain is small
    rows = read_table(study.metrics("study", "unet"))
    assert {r["subject"] for r in rows if r["region"] == "brainstem"} == {"941S0004"}
    assert {r["subject"] for r in rows if r["region"] == REGION} == {"941S0003", "941S0004"}


def test_a_region_that_one_pet_does_not_show_is_said(study: FakeStudy, capsys) -> None:
    """Though another PET of the person shows it."""
    pet = np.load(study.packed("study") / "pet.npy")
    pet[2, 0][atlas.region_mask(REGION, SHAPE, AFFINE)] = np.nan
    np.save(study.packed("study") / "pet.npy", pet)
    assert study.evaluate("study", "unet") == 0
    assert f"of the region {REGION} lies in the brain mask of 941S0003" in capsys.readouterr().err
    rows = [r for r in read_table(study.metrics("study", "unet")) if r["region"] == REGION]
    tracers = {r["tracer"] for r in rows if r["subject"] == "941S0003"}
    assert tracers == {"amyloid"}


def test_of_who_is_not_compared_nothing_is_said_and_each_pair_is_read_once(
    study: FakeStudy, monkeypatch
) -> None:
    """A tracer of which the model saw no PET, whose PET shows no such region in anybody."""
    pet = np.load(study.packed("study") / "pet.npy")
    pet[:, 1][:, atlas.region_mask(REGION, SHAPE, AFFINE)] = np.nan
    np.save(study.packed("study") / "pet.npy", pet)
    amend(study.synthesized("study", "unet") / "synthesis.json", untrained=["amyloid"])
    read, pair_mask = [], PackedDataset.pair_mask

    def counted(self: PackedDataset, subject: int, tracer: int) -> np.ndarray:
        read.append((subject, tracer))
        return pair_mask(self, subject, tracer)

    monkeypatch.setattr(PackedDataset, "pair_mask", counted)
    assert study.evaluate("study", "unet") == 0
    record = read_json(study.metrics("study", "unet").with_suffix(".json"))
    assert REGION not in record["regions_absent"] and record["untrained"] == ["amyloid"]
    assert read == [(2, 0), (3, 0)]


def test_a_composite_is_the_union_of_its_parts() -> None:
    """At the resolution in which regions are cut; a coarser grid averages the union itself."""
    affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    labels = atlas.region_labels(atlas.SHAPE, affine)
    for name, parts in atlas.COMPOSITES.items():
        union = np.isin(labels, [atlas.REGIONS[part] for part in parts])
        mask = atlas.region_mask(name, atlas.SHAPE, affine)
        assert (mask & union).sum() * 2 / (mask.sum() + union.sum()) > 0.95, name
        assert not mask.flags.writeable  # it is kept


def test_regional_suvr_is_the_mean_over_the_region() -> None:
    random = np.random.default_rng(0)
    truth, prediction = random.uniform(0, 3, (2, *SHAPE))
    mask = random.uniform(size=SHAPE) > 0.7
    values = compare(prediction, truth, mask, 4.0, REGION)
    total, count = [0.0, 0.0], 0
    for index in np.ndindex(SHAPE):
        if mask[index]:
            total = [total[0] + prediction[index], total[1] + truth[index]]
            count += 1
    assert values == pytest.approx({"suvr": total[0] / count, "suvr_true": total[1] / count})


def test_of_a_suvr_none_is_the_best() -> None:
    assert np.isnan(METRICS["suvr"].better.best(pd.Series([1.0, 1.2])))
