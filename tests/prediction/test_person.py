from __future__ import annotations

import numpy as np
import pytest

from relad.data.intensity import standardized_mri
from relad.errors import DataError
from relad.imaging import atlas
from relad.prediction.person import refuse_swapped
from tests.helpers.registered import truth

SHAPE = (40, 48, 40)
AFFINE = atlas.grid_affine(SHAPE, 4.0)
INPUTS = ("T1w", "FLAIR")


def head(kind: str) -> np.ndarray:
    return standardized_mri(truth(kind, SHAPE, AFFINE), truth("brain", SHAPE, AFFINE) > 0.5)


def test_a_t1w_and_a_flair_given_for_one_another_are_refused():
    t1w, flair = head("T1w"), head("FLAIR")
    refuse_swapped(np.stack([t1w, flair]), INPUTS, AFFINE)
    refuse_swapped(np.stack([flair, t1w]), INPUTS[::-1], AFFINE)
    refuse_swapped(t1w[None], INPUTS[:1], AFFINE)
    with pytest.raises(DataError, match="stands out more in the FLAIR than in the T1w"):
        refuse_swapped(np.stack([flair, t1w]), INPUTS, AFFINE)
