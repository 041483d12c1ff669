"""Two runs of one injection become one PET: their frames in time's order, decay corrected alike."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from relad.cohort.bids import is_activity
from relad.cohort.choice import DAY_S, injection_clock
from relad.cohort.dicom_pet import DECAY_TOLERANCE, HALF_LIFE_S
from relad.errors import DataError
from relad.status import SIMULATED_KEY

#: Voxels of two runs may lie so far apart, as share of a voxel.
_PLACE = 0.05
#: A moment that frames are decay corrected to lies so near their scan, or the time from their
#: injection to it (s); further away it is a mistake, by which voxels would be scaled.
_NEAR_S = 3600.0
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
        Where their grids, units or radionuclides differ, or no common decay correction is known.
    """
    one, other = first.sidecar, second.sidecar
    _check_grids(first, second)
    units = [str(run["Units"]) for run in (one, other)]
    if units[0] != units[1] and not all(map(is_activity, units)):
        raise DataError(f"its units are {units[1]}, not {units[0]}")
    half_life = _half_life(one, other)
    later = (injection_clock(other) - other["InjectionStart"]) - (
        injection_clock(one) - one["InjectionStart"]
    )
    later -= DAY_S * round(later / DAY_S)  # of the second's TimeZero after the first's
    factor = np.float32(_decay(one, other, later, half_life))
    with np.errstate(over="ignore"):
        scaled = second.data * factor
    if np.isfinite(scaled).sum() < np.isfinite(second.data).sum():
        raise DataError(f"its decay correction takes values beyond all measure ({factor:g} times)")
    data = np.concatenate([first.data, scaled], axis=3)
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


def _half_life(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    """Half-life (s) of the nuclide of both; None where neither tells it.

    Of one injection both have one: two are a mistake in a sidecar, and which is right is not told.
    """
    nuclides = [str(run.get("TracerRadionuclide") or "") for run in (one, other)]
    masses = [re.search(r"\d+", nuclide) for nuclide in nuclides]  # however an element is spelt
    if all(masses) and masses[0][0] != masses[1][0]:
        raise DataError(f"its radionuclide is {nuclides[1]}, not {nuclides[0]}")
    told = [
        HALF_LIFE_S.get(nuclide) or run.get("RadionuclideHalfLife")
        for nuclide, run in zip(nuclides, (one, other), strict=True)
    ]
    known = [t for t in told if isinstance(t, int | float) and t > 0]
    if len(known) == 2 and not math.isclose(*known, rel_tol=DECAY_TOLERANCE):
        raise DataError(f"its half-life is {known[1]:g} s, not {known[0]:g} s")
    return known[0] if known else None


def _decay(
    one: dict[str, Any], other: dict[str, Any], later: float, half_life: float | None
) -> float:
    """Factor that brings the second run's decay correction to the first's moment."""
    corrected = [sidecar["ImageDecayCorrected"] for sidecar in (one, other)]
    to = [sidecar["ImageDecayCorrectionTime"] for sidecar in (one, other)]
    numbers = all(isinstance(moment, int | float) for moment in to)
    if corrected != [True, True] or not numbers:
        raise DataError("the moments that they are decay corrected to are not known")
    _check_moment(one, f"{one['SourceImageID']}'s")
    _check_moment(other, "its")
    apart = to[1] + later - to[0]
    if abs(apart) < 1e-3:
        return 1.0
    if half_life is None:
        raise DataError("its half-life is not known")
    return math.exp(math.log(2) / half_life * apart)


def _check_moment(run: dict[str, Any], whose: str) -> None:
    """Refuse a decay correction to a moment that belongs to no injection or scan."""
    moment = run["ImageDecayCorrectionTime"]
    frames = zip(run["FrameTimesStart"], run["FrameDuration"], strict=True)
    first = min(run["InjectionStart"], *run["FrameTimesStart"]) - _NEAR_S
    last = max(start + length for start, length in frames) + _NEAR_S
    if not first <= moment <= last:
        raise DataError(
            f"{whose} ImageDecayCorrectionTime, {moment:g} s, is far from the injection "
            f"({run['InjectionStart']:g} s) and the scan"
        )
