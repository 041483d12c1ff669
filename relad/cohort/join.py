"""Two runs of one injection become one PET: their frames in time's order, decay corrected alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from relad.cohort.choice import DAY_S, injection_clock
from relad.cohort.dicom_pet import HALF_LIFE_S
from relad.errors import DataError
from relad.status import SIMULATED_KEY

#: Voxels of two runs may lie so far apart, as share of a voxel.
_PLACE = 0.05
#: Keys of dcm2niix that list a value per frame, and are of one run alone.
_PER_FRAME = frozenset(
    {
        "DecayFactor",
        "DecayCorrectionFactor",
        "FrameReferenceTime",
        "ScatterCorrectionFactor",
        "ScatterFraction",
        "SliceTiming",
    }
)


@dataclass
class Voxels:
    """An image that is ready to be written: PET (x, y, z, frames), MRI (x, y, z)."""

    data: np.ndarray
    affine: np.ndarray
    sidecar: dict[str, Any]


def joined(first: Voxels, second: Voxels) -> Voxels:
    """Frames of two runs as one image on the first's grid; its times count from its TimeZero.

    Parameters
    ----------
    first, second
        PET (x, y, z, frames) whose sidecars time every frame.

    Raises
    ------
    DataError
        Where their grids or units differ, or no common decay correction is known.
    """
    one, other = first.sidecar, second.sidecar
    _check_grids(first, second)
    if one["Units"] != other["Units"]:
        raise DataError(f"its units are {other['Units']}, not {one['Units']}")
    later = (injection_clock(other) - other["InjectionStart"]) - (
        injection_clock(one) - one["InjectionStart"]
    )
    later -= DAY_S * round(later / DAY_S)  # of the second's TimeZero after the first's
    data = np.concatenate([first.data, second.data * np.float32(_decay(one, other, later))], axis=3)
    starts = [*one["FrameTimesStart"], *(start + later for start in other["FrameTimesStart"])]
    durations = [*one["FrameDuration"], *other["FrameDuration"]]
    order = sorted(range(len(starts)), key=starts.__getitem__)
    kept = {key: value for key, value in one.items() if key not in _PER_FRAME}
    return Voxels(
        data[..., order],
        first.affine,
        {
            **kept,
            "SourceImageID": f"{one['SourceImageID']}, {other['SourceImageID']}",
            "FrameTimesStart": [round(starts[k], 3) for k in order],
            "FrameDuration": [durations[k] for k in order],
            "ScanStart": min(one["ScanStart"], other["ScanStart"] + later)
            if isinstance(one["ScanStart"], int | float)
            and isinstance(other["ScanStart"], int | float)
            else round(min(starts), 3),
            SIMULATED_KEY: one[SIMULATED_KEY] or other[SIMULATED_KEY],
        },
    )


def _check_grids(first: Voxels, second: Voxels) -> None:
    if first.data.shape[:3] != second.data.shape[:3]:
        raise DataError("its grid is another one")
    between = np.linalg.solve(first.affine, second.affine) - np.eye(4)
    extent = np.append(np.asarray(first.data.shape[:3]) - 1.0, 1.0)
    if (np.abs(between[:3]) @ extent).max() > _PLACE:
        raise DataError("its grid lies elsewhere")


def _decay(one: dict[str, Any], other: dict[str, Any], later: float) -> float:
    """Factor that brings the second run's decay correction to the first's moment."""
    corrected = [sidecar["ImageDecayCorrected"] for sidecar in (one, other)]
    to = [sidecar["ImageDecayCorrectionTime"] for sidecar in (one, other)]
    half_life = HALF_LIFE_S.get(str(one.get("TracerRadionuclide"))) or one.get(
        "RadionuclideHalfLife"
    )
    numbers = all(isinstance(moment, int | float) for moment in to)
    if corrected != [True, True] or not numbers:
        raise DataError("the moments that they are decay corrected to are not known")
    apart = to[1] + later - to[0]
    if abs(apart) < 1e-3:
        return 1.0
    if not isinstance(half_life, int | float) or not half_life > 0:
        raise DataError("its half-life is not known")
    return math.exp(math.log(2) / half_life * apart)
