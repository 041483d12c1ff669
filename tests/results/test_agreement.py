"""Agreement of two measurements: published examples, and the formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relad.results.agreement import agreement, concordance, correlation, icc_a1

#: Shrout & Fleiss (1979), table 2: six targets, four judges; their table 4 has ICC(2,1) = .29.
SHROUT = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
#: Bland & Altman (1986), table 1: peak expiratory flow (l/min), two meters, first readings.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def pairs(n: int = 12, bias: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    real = random.uniform(1, 2.5, n)
    return 0.6 * real + 0.5 + bias + random.normal(0, 0.1, n), real


def test_icc_is_that_of_shrout_and_fleiss() -> None:
    assert icc_a1(SHROUT.astype(float)) == pytest.approx(0.29, abs=0.005)
    assert icc_a1(SHROUT.astype(float)) == pytest.approx(0.2897638, abs=1e-6)


def test_icc_by_sums_of_squares() -> None:
    synthetic, real = map(list, pairs())
    n, k = len(real), 2
    everything = synthetic + real
    grand = sum(everything) / (n * k)
    of_person = [(a + b) / 2 for a, b in zip(synthetic, real, strict=True)]
    of_rater = [sum(synthetic) / n, sum(real) / n]
    rows = sum(k * (m - grand) ** 2 for m in of_person)
    columns = sum(n * (m - grand) ** 2 for m in of_rater)
    error = sum((v - grand) ** 2 for v in everything) - rows - columns
    ms_r, ms_c, ms_e = rows / (n - 1), columns / (k - 1), error / ((n - 1) * (k - 1))
    expected = (ms_r - ms_e) / (ms_r + (k - 1) * ms_e + k / n * (ms_c - ms_e))
    assert icc_a1(np.stack(pairs(), axis=1)) == pytest.approx(expected, abs=1e-12)


def test_limits_are_those_of_bland_and_altman() -> None:
    """Their figure 2: mean -2.1, limits -79.7 and 75.5 with 2 SD (38.8)."""
    told = agreement(WRIGHT, MINI, level=0.95)
    assert told.bias == pytest.approx(-2.1, abs=0.05)
    low, high = told.limits
    assert (high - low) / 2 / 1.96 == pytest.approx(38.8, abs=0.05)
    assert (low + high) / 2 == pytest.approx(told.bias)


def test_concordance_by_hand() -> None:
    x, y = pairs()
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    sxx, syy = sum((a - mx) ** 2 for a in x) / n, sum((b - my) ** 2 for b in y) / n
    sxy = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / n
    assert concordance(x, y) == pytest.approx(2 * sxy / (sxx + syy + (mx - my) ** 2), abs=1e-12)
    assert concordance(y, y) == pytest.approx(1)
    assert concordance(y + 0.5, y) < 0.75 < correlation(y + 0.5, y, level=0.9)[0]


def test_bias_is_synthetic_minus_real_and_relative_to_each_person() -> None:
    told = agreement([1.1, 3.0], [1.0, 2.0], level=0.95)
    assert (told.bias, told.bias_percent) == (pytest.approx(0.55), pytest.approx(30))


def test_r_has_fishers_interval() -> None:
    x, y = pairs()
    r, (low, high) = correlation(x, y, level=0.95)
    assert r == pytest.approx(np.corrcoef(x, y)[0, 1])
    half = 1.959963985 / math.sqrt(len(x) - 3)
    assert (low, high) == pytest.approx(
        (math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))
    )


def test_what_cannot_be_told_is_none() -> None:
    assert correlation(np.ones(9), pairs(9)[1], level=0.95) == (None, None)
    assert correlation(*pairs(2), level=0.95) == (None, None)
    r, interval = correlation(*pairs(3), level=0.95)
    assert r is not None and interval is None
    alone = agreement([1.2], [1.0], level=0.95)
    assert (alone.limits, alone.ccc, alone.icc, alone.r) == (None, None, None, None)
    same = agreement([1.0, 1.0], [1.0, 1.0], level=0.95)
    assert (same.ccc, same.icc) == (None, None)


@pytest.mark.parametrize("values", [([1.0, np.nan], [1.0, 2.0]), ([1.0], [1.0, 2.0]), ([], [])])
def test_what_is_no_pair_is_refused(values) -> None:
    with pytest.raises(ValueError, match=r"not finite|cannot pair"):
        agreement(*values, level=0.95)
