"""Standardised uptake value ratio: PET over its mean in a reference region."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from relad.errors import DataError

#: A reference region smaller than this, in ml, gives no stable mean.
MIN_REFERENCE_ML = 1.0


@dataclass(frozen=True)
class Reference:
    """Uptake in a reference region, in the units of the PET (sd over its voxels)."""

    region: str
    mean: float
    sd: float
    volume_ml: float

    def qc(self) -> dict[str, float | str]:
        """Return the numbers for status.json, named ``reference_…`` and rounded."""
        return {
            f"reference_{key}": round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def measure_reference(region: str, values: np.ndarray, voxel_ml: float) -> Reference:
    """Mean uptake of a reference region.

    Parameters
    ----------
    region
        Name of the region.
    values
        (n,) uptake at the region's voxels that lie inside the scan.
    voxel_ml
        Volume of one voxel in ml.

    Raises
    ------
    DataError
        If fewer than :data:`MIN_REFERENCE_ML` are inside the scan or the mean is not positive.
    """
    volume = values.size * voxel_ml
    if volume < MIN_REFERENCE_ML:
        raise DataError(
            f"only {volume:.2f} ml of the reference region {region} lie inside the scan"
        )
    mean = float(values.mean())
    if not mean > 0:
        raise DataError(f"mean uptake in the reference region {region} is {mean:.3g}")
    return Reference(region, mean, float(values.std()), float(volume))
