"""Table of errors of positive and of negative people apart."""

from __future__ import annotations

import numpy as np
import pytest

from relad.errors import ReladError
from relad.results.tables.positivity import positivity_rows, positivity_table
from tests.helpers.fake_study import entry, score, scores_of
from tests.helpers.positive import CUT, TRUE, rows_of

POSITIVITY = entry("table", "positivity")


def test_errors_are_told_for_either_group(tmp_path) -> None:
    fallen_back = dict.fromkeys(TRUE, 1.4) | {"A": 1.41}
    rows = rows_of("unet", fallen_back) + [
        score(subject=s, fold=int(s > "D"), metric=metric, value=value)
        for k, s in enumerate(TRUE)
        for metric, value in (("psnr", 20.0 + k), ("mae", 0.1 * k))
    ]
    study = scores_of(tmp_path, *rows)
    found = positivity_rows(study, POSITIVITY).set_index("group")
    positive = [k for k, v in enumerate(TRUE.values()) if v >= CUT]
    assert found.loc["positive", "psnr"] == 20 + np.mean(positive)
    assert found.loc["negative", "mae"] == pytest.approx(0.1 * np.mean([0, 1, 4, 5]))
    assert found.loc["positive", "bias"] == pytest.approx(1.4 - np.mean([1.5, 1.6, 1.4, 1.8]))
    assert found.loc["negative", "bias"] > 0 > found.loc["positive", "bias"]
    assert list(found["n"]) == [4, 4]


def test_a_group_of_nobody_or_one_is_said(tmp_path) -> None:
    some = {s: TRUE[s] for s in "CDGHA"}
    rows = rows_of("unet", some) + [
        score(subject=s, fold=int(s > "D"), metric=m, value=1.0)
        for s in some
        for m in ("psnr", "mae")
    ]
    found = positivity_rows(scores_of(tmp_path, *rows), POSITIVITY).set_index("group")
    assert (found.loc["negative", "n"], found.loc["negative", "note"]) == (1, "one person")
    assert np.isnan(found.loc["negative", "psnr_low"]) and found.loc["negative", "psnr"] == 1
    (tmp_path / "all").mkdir()
    rows = [row for row in rows if row["subject"] != "A"]
    study = scores_of(tmp_path / "all", *rows)
    table = positivity_table(study, POSITIVITY)
    assert [group[0][4].text for group in table.groups] == ["4", "0 (nobody)"]
    assert "nan" not in table.markdown().lower()


def test_a_person_without_a_row_is_refused(tmp_path) -> None:
    rows = rows_of("unet", TRUE) + [
        score(subject=s, fold=int(s > "D"), metric=m) for s in "ABCDEFG" for m in ("psnr", "mae")
    ]
    with pytest.raises(
        ReladError, match=r"metrics\.csv: no psnr and mae of unet for subject H, tau"
    ):
        positivity_rows(scores_of(tmp_path, *rows), POSITIVITY)
