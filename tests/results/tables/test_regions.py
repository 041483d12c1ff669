"""The table of regions: numbers of each row, what has no correlation, who lacks a region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from relad.errors import ReladError
from relad.fileio import read_table
from relad.results.agreement import agreement
from relad.results.figures import regions
from relad.results.regional import ONE_EACH
from relad.results.study import Study
from relad.results.tables.regions import COLUMNS, NO_PERSON, region_rows, regions_table
from tests.helpers.fake_study import entry, make_settings, score, scores_of

REGIONS = entry("table", "regions")
TRUE = {"A": 1.0, "B": 1.3, "C": 1.7, "D": 1.9, "E": 2.2}
UNET = {"A": 1.2, "B": 1.3, "C": 1.5, "D": 1.8, "E": 1.9}
SAME = dict.fromkeys(TRUE, 1.6)


def pairs(method: str, synthetic: dict[str, float], region: str, **changes: Any) -> list[dict]:
    """Rows of the two SUVRs of a region; folds are those of `fold`, by subject."""
    fold = changes.pop("fold", {})
    return [
        score(method=method, subject=s, region=region, metric=metric, value=v, fold=fold.get(s, 0))
        | changes
        for s, value in synthetic.items()
        for metric, v in (("suvr", value), ("suvr_true", TRUE[s]))
    ]


def study_of(folder: Path, *rows: dict, **settings: Any) -> Study:
    """Study of rows in the thalamus, to which those of the brain are added."""
    brain = [{**row, "region": "brain"} for row in rows if row["region"] == "thalamus"]
    return scores_of(folder, *rows, *brain, **settings)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_of(
        tmp_path, *pairs("unet", UNET, "thalamus"), *pairs("template", SAME, "thalamus")
    )


def row_of(study: Study, method: str, region: str = "thalamus") -> Any:
    rows = region_rows(study, REGIONS)
    return rows[(rows["method"] == method) & (rows["region"] == region)].iloc[0]


def test_a_row_agrees_as_its_subjects_do(study) -> None:
    row = row_of(study, "unet")
    told = agreement(list(UNET.values()), list(TRUE.values()), level=0.95)
    assert row["n"] == 5
    assert row["suvr_true"] == pytest.approx(np.mean(list(TRUE.values())))
    assert row["suvr"] == pytest.approx(np.mean(list(UNET.values())))
    for key, expected in {
        "bias": told.bias,
        "bias_percent": told.bias_percent,
        "ccc": told.ccc,
        "icc": told.icc,
        "loa_low": told.limits[0],
        "loa_high": told.limits[1],
        "r": told.r,
        "r_low": told.r_interval[0],
        "r_high": told.r_interval[1],
    }.items():
        assert row[key] == pytest.approx(expected), key
    assert row["bias_low"] < row["bias"] < row["bias_high"] and row["note"] == ""


def test_seeds_are_averaged_within_a_subject_first(tmp_path) -> None:
    other = {s: value + 0.2 for s, value in UNET.items()}
    study = study_of(
        tmp_path, *pairs("unet", UNET, "thalamus"), *pairs("unet", other, "thalamus", seed=1)
    )
    row = row_of(study, "unet")
    assert row["n"] == 5 and row["suvr"] == pytest.approx(np.mean(list(UNET.values())) + 0.1)


def test_one_image_for_everybody_has_no_correlation_and_says_so(study, tmp_path) -> None:
    row = row_of(study, "template")
    assert np.isnan(row["r"]) and row["note"] == f"r {NO_PERSON}"
    table = regions_table(study, REGIONS)
    texts = {line[3].text: [cell.text for cell in line] for line in table.groups[0]}
    assert texts["Mean template"][-1] == NO_PERSON and "nan" not in table.markdown().lower()
    table.write(tmp_path)
    written = {r["method"]: r for r in read_table(tmp_path / "regions.csv")}
    assert list(written["template"]) == list(COLUMNS)
    assert written["template"]["r"] is None and NO_PERSON in written["template"]["note"]


def test_a_template_is_known_by_the_regions_that_lie_in_every_brain(tmp_path) -> None:
    """Of each fold another template, and at the brain's edge some spread: r would be -0.9.

    One region may be constant for another reason.
    """
    fold = {"D": 1, "E": 1}
    edge = {"A": 1.60, "B": 1.61, "C": 1.59, "D": 1.31, "E": 1.30}
    deep = {"A": 1.6, "B": 1.6, "C": 1.6, "D": 1.3, "E": 1.3}
    rows = pairs("template", edge, "thalamus", fold=fold)
    inside = pairs("template", deep, "hippocampus", fold=fold)
    more = pairs("template", deep, "amygdala", fold=fold)
    for name in ("none", "one", "two"):
        (tmp_path / name).mkdir()
    assert row_of(study_of(tmp_path / "none", *rows), "template")["r"] < -0.7
    assert row_of(study_of(tmp_path / "one", *rows, *inside), "template")["r"] < -0.7
    row = row_of(study_of(tmp_path / "two", *rows, *inside, *more), "template")
    assert row["r"] is None and row["note"] == f"r {NO_PERSON}"


@pytest.mark.parametrize("value", [1.2, 0.0])
def test_a_region_that_one_method_has_the_same_in_everybody_is_no_template(tmp_path, value) -> None:
    """Cut off at 0, say; composites are made of the same voxels, and tell nothing more."""
    same = dict.fromkeys(TRUE, value)
    constant = ("hippocampus", "braak_1_3", *(("amygdala",) if value == 0 else ()))
    rows = [row for region in constant for row in pairs("unet", same, region)]
    study = study_of(tmp_path, *pairs("unet", UNET, "thalamus"), *rows)
    row = row_of(study, "unet")
    assert row["r"] > 0.9 and row["note"] == ""


def test_a_constant_of_one_fold_alone_is_no_template(tmp_path) -> None:
    synthetic = {**UNET, "D": 1.8, "E": 1.8}
    rows = pairs("unet", synthetic, "thalamus", fold={"D": 1, "E": 1})
    assert row_of(study_of(tmp_path, *rows), "unet")["r"] > 0.9


def test_images_divided_by_their_own_reference_are_of_people(tmp_path) -> None:
    """Everybody has an SUVR of 1 in the reference region; elsewhere people are told apart."""
    own = {s: 1 + k * 1e-8 for k, s in enumerate(TRUE)}
    rows = [*pairs("unet", UNET, "thalamus"), *pairs("unet", own, "hippocampus")]
    study = study_of(tmp_path, *rows)
    row = row_of(study, "unet")
    assert row["r"] > 0.9 and row["note"] == ""
    (tmp_path / "alone").mkdir()
    alone = study_of(tmp_path / "alone", *pairs("unet", own, "hippocampus"))
    for of in (study, alone):
        of_reference = row_of(of, "unet", "hippocampus")
        assert pd.isna(of_reference["r"]) and of_reference["note"] == "r none: no spread"


@pytest.mark.parametrize("value", [0.0, -0.015])
def test_a_real_suvr_that_is_not_above_0_has_no_bias_in_percent(tmp_path, value) -> None:
    """Nor does it end the figure, which shows that there is none."""
    rows = pairs("unet", UNET, "thalamus")
    for row in rows:
        if (row["subject"], row["metric"]) == ("A", "suvr_true"):
            row["value"] = value
    study = study_of(tmp_path, *rows)
    row = row_of(study, "unet")
    assert (
        pd.isna(row["bias_percent"]) and row["note"] == "no bias in %: a real SUVR is not above 0"
    )
    assert np.isfinite(row["bias"])
    (line,) = regions_table(study, REGIONS).groups[0]
    assert line[8].text == "n/a" and line[7].text.startswith(f"{0.12 - value / 5:+.3f} [")
    figure = regions.draw(study, entry("figure", "regions"))
    assert figure.axes[0].texts[0].get_text() == "-"
    plt.close(figure)


def test_methods_that_were_held_to_different_pet_are_refused_with_the_table(tmp_path) -> None:
    rows = [*pairs("unet", UNET, "thalamus"), *pairs("template", SAME, "thalamus")]
    for row in rows:
        if (row["method"], row["subject"], row["metric"]) == ("template", "B", "suvr_true"):
            row["value"] = 1.31
    told = r"metrics\.csv: the real tau SUVR of subject B .*: unet 1\.3000, template 1\.3100"
    with pytest.raises(ReladError, match=told):
        region_rows(study_of(tmp_path, *rows), REGIONS)


def test_a_template_that_tests_one_person_a_fold_is_known_by_its_other_rows(tmp_path) -> None:
    """Left out one by one, the mean of the others makes r = -1."""
    alone = {s: k for k, s in enumerate(TRUE)}
    rest = {s: (sum(TRUE.values()) - v) / 4 for s, v in TRUE.items()}
    rows = pairs("template", rest, "thalamus", fold=alone)
    unet = pairs("unet", UNET, "thalamus", fold=alone)
    away = [
        *pairs("template", SAME, "thalamus", cohort="elsewhere"),
        *pairs("unet", UNET, "thalamus", cohort="elsewhere"),
    ]
    for name, more in (("alone", []), ("known", away)):
        (tmp_path / name).mkdir()
        study = study_of(tmp_path / name, *rows, *unet, *more)
        template, other = row_of(study, "template"), row_of(study, "unet")
        if more:
            assert pd.isna(template["r"]) and template["note"] == f"r {NO_PERSON}"
            assert other["r_low"] < other["r"] and other["note"] == ""
        else:
            assert template["r"] == pytest.approx(-1)
            for row in (template, other):
                assert pd.isna(row["r_low"]) and row["note"] == f"r without interval: {ONE_EACH}"


@pytest.mark.parametrize(
    ("n", "note"), [(1, "r none: n below 3"), (2, "r none: n below 3"), (3, "")]
)
def test_few_people_have_no_correlation_and_no_interval_of_it(tmp_path, n, note) -> None:
    few = dict(list(UNET.items())[:n])
    row = row_of(study_of(tmp_path, *pairs("unet", few, "thalamus")), "unet")
    assert row["note"] == note and np.isnan(float(row["r_low"] or np.nan))
    assert (
        "With n = "
        in regions_table(scores_of(tmp_path, *pairs("unet", few, "brain")), REGIONS).caption
    )


def test_people_who_lack_a_region_are_named(tmp_path) -> None:
    without = {s: v for s, v in UNET.items() if s != "C"}
    rows = [*pairs("unet", UNET, "thalamus"), *pairs("unet", without, "hippocampus")]
    study = study_of(tmp_path, *rows)
    row = row_of(study, "unet", "hippocampus")
    assert (row["n"], row["note"]) == (4, "absent in C")
    assert row_of(study, "unet")["note"] == ""
    table = regions_table(study, REGIONS)
    assert table.groups[0][0][4].text == "4 (absent in some)"
    assert "amygdala" in table.caption.partition("Nobody's brain mask")[2]


def test_a_region_that_one_method_lacks_a_person_in_is_refused(tmp_path) -> None:
    without = {s: v for s, v in UNET.items() if s != "C"}
    rows = [*pairs("unet", UNET, "thalamus"), *pairs("rela", without, "thalamus")]
    with pytest.raises(ReladError, match=r"not tested on the same subjects .*: C"):
        region_rows(study_of(tmp_path, *rows), REGIONS)


def test_a_region_that_one_method_has_nobody_in_is_refused(tmp_path) -> None:
    rows = [*pairs("unet", UNET, "thalamus"), *pairs("unet", UNET, "hippocampus")]
    with pytest.raises(
        ReladError, match=r"metrics\.csv: no SUVR of rela in .* \(tau, hippocampus\)"
    ):
        region_rows(study_of(tmp_path, *rows, *pairs("rela", UNET, "thalamus")), REGIONS)


def test_a_method_without_suvr_is_refused_where_others_have_it(tmp_path) -> None:
    rows = [*pairs("unet", UNET, "thalamus"), score(method="rela", metric="psnr")]
    with pytest.raises(ReladError, match=r"no SUVR of rela .* run `relad evaluate`"):
        region_rows(study_of(tmp_path, *rows), REGIONS)
    assert regions_table(scores_of(tmp_path, score()), REGIONS) is None


def test_methods_that_were_held_against_different_pet_are_refused(tmp_path) -> None:
    rows = pairs("unet", UNET, "thalamus") + pairs("rela", UNET, "thalamus")
    rows[-1]["value"] += 0.01
    told = r"real tau SUVR of subject E \(study, brain\) differs .*rela 2.2100, unet 2.2000"
    with pytest.raises(ReladError, match=told):
        region_rows(study_of(tmp_path, *rows), REGIONS)


def test_both_roles_stand_in_the_table_and_its_reading_form_has_each_tracers_regions(
    tmp_path,
) -> None:
    rows = [
        row
        for cohort in ("study", "elsewhere")
        for region in ("thalamus", "hippocampus", "amygdala")
        for row in pairs("unet", UNET, region, cohort=cohort)
    ]
    table = regions_table(study_of(tmp_path, *rows), REGIONS)
    assert set(table.rows["cohort"]) == {"study", "elsewhere"}
    assert set(table.rows["region"]) == {"brain", "thalamus", "hippocampus", "amygdala"}
    assert [(g[0][0].text, g[0][2].text) for g in table.groups] == [
        (cohort, region)
        for cohort in ("study", "elsewhere")
        for region in ("hippocampus", "thalamus")
    ]


def test_a_region_that_there_is_not_is_refused_with_its_key(tmp_path) -> None:
    settings = make_settings()
    settings["tracers"]["tau"]["regions"] = ["entorhinal"]
    study = study_of(tmp_path, *pairs("unet", UNET, "thalamus"), settings=settings)
    with pytest.raises(ReladError, match=r"tracers\.tau\.regions names 'entorhinal'"):
        regions_table(study, REGIONS)
    settings["segmentation"]["regions"] = {"entorhinal": ["A"]}
    own = pairs("unet", UNET, "entorhinal")
    rows = [*pairs("unet", UNET, "thalamus"), *own]
    table = regions_table(study_of(tmp_path, *rows, settings=settings), REGIONS)
    assert [group[0][2].text for group in table.groups] == ["entorhinal"]
    assert "Of people's own segmentations where packed: entorhinal" in table.caption
