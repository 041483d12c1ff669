from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from relad.data import seen
from relad.data.dataset import PackedDataset
from relad.prediction import strangers
from relad.status import Kind
from tests.helpers.predictions import write_cohort

AGES = {"n": 5, "mean": 70.0, "sd": 10.0, "low": 60.0, "high": 85.0}
VOLUMES = {"n": 13, "mean": 1600.0, "sd": 100.0, "low": 1400.0, "high": 1750.0}
RECORD = SimpleNamespace(
    kind=Kind.REAL,
    seen={
        "people": 13,
        "scanners": ["Siemens Prisma 3 T"],
        "measures": {"age": AGES, "brain_volume_ml": VOLUMES, "T1w_dark": VOLUMES},
    },
)
KNOWN = {"age": 70.0, "brain_volume_ml": 1600.0}


def warned(**changed):
    given = {"kind": Kind.REAL, "scanner": "Siemens Prisma 3 T", "measures": KNOWN} | changed
    return strangers.warnings(RECORD, **given)


def test_nothing_is_said_of_one_of_them():
    assert warned() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": Kind.SIMULATED}, "this person's are SIMULATED DATA"),
        ({"scanner": "GE Signa 1.5 T"}, "Scanner GE Signa 1.5 T: the model was trained on Siemens"),
        ({"scanner": None}, "does not name its scanner"),
        ({"measures": KNOWN | {"age": 45.0}}, "Age 45 years; of the 13 training people 60 to 85"),
        ({"measures": KNOWN | {"age": 86.0}}, "Age 86 years"),
        ({"measures": KNOWN | {"brain_volume_ml": 1000.0}}, "Brain volume 1000 ml"),
        (
            {"measures": KNOWN | {"T1w_dark": 3000.0}},
            "Darkest parts of the brain in the T1w (standardised intensity): 3000",
        ),
        (
            {"measures": {"brain_volume_ml": 1600.0}},
            "age is not given; the training people were 60",
        ),
        (
            {"measures": {"brain_volume_ml": 1600.0}, "age": "89+"},
            "age is given as '89+', which is no number of years; the training people were 60",
        ),
    ],
)
def test_each_difference_is_said_once(changed, said):
    (warning,) = warned(**changed)
    assert said in warning


def test_one_in_a_hundred_like_them_is_called_a_stranger():
    """The interval of a new observation, Student's t; five people's extremes would be 1 in 3."""
    random = np.random.default_rng(0)
    outside = 0
    for _ in range(4000):
        sample = random.normal(size=6)
        low, high = strangers.interval("T1w_dark", seen._range(sample[:5]))
        outside += not low <= sample[5] <= high
    assert abs(outside / 4000 - strangers.LEVEL) < 0.005
    reach = stats.t.ppf(0.995, 12) * 100 * (1 + 1 / 13) ** 0.5
    assert strangers.interval("brain_volume_ml", VOLUMES) == pytest.approx(
        (1600 - reach, 1600 + reach)
    )


def test_people_without_spread_leave_room_for_rounding():
    low, high = strangers.interval(
        "FLAIR_dark", {"n": 9, "mean": -1, "sd": 0, "low": -1, "high": -1}
    )
    assert -1.06 < low < -1.02 and -0.98 < high < -0.94


def test_what_a_model_saw_is_its_training_people(tmp_path: Path):
    data = PackedDataset(write_cohort(tmp_path / "packed"))
    found = seen.of_people(data, [1, 3, 3])
    assert (found["people"], found["scanners"]) == (2, ["Siemens Prisma 3 T"])
    assert (found["measures"]["age"]["low"], found["measures"]["age"]["high"]) == (61, 63)
    assert found["measures"]["brain_volume_ml"]["mean"] == 1400
    values = data.mri[1, 0][data.mask[1]]
    assert found["measures"]["T1w_bright"]["high"] >= round(float(np.percentile(values, 95)), 4)


def test_blur_and_contrast_are_told_apart_inside_the_brain_alone():
    random = np.random.default_rng(1)
    mask = np.zeros((12, 12, 12), bool)
    mask[2:10, 2:10, 2:10] = True
    sharp = random.normal(0, 0.3, mask.shape)
    smooth = (sharp + np.roll(sharp, 1, 0)) / 2
    outside = np.where(mask, sharp, 9.0)
    a, b, c = (seen.intensities(v[None], mask, ["T1w"]) for v in (sharp, smooth, outside))
    assert a == c
    assert b["T1w_detail"] < 0.9 * a["T1w_detail"]
    assert a["T1w_dark"] < -0.4 and a["T1w_bright"] > 0.4
