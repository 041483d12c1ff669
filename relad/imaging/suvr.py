"""Standardised uptake value ratio: PET over its mean in a reference region."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from relad.errors import DataError, ReladError
from relad.imaging.resample import FWHM_PER_SIGMA

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


def harmonize(
    pet: np.ndarray, affine: np.ndarray, *, known_fwhm_mm: float, target_fwhm_mm: float
) -> np.ndarray:
    """Smooth PET from a known resolution to a common one, as ADNI does for its scanners.

    Parameters
    ----------
    pet
        (x, y, z) uptake in any unit.
    affine
        Its (4, 4) voxel to mm affine.
    known_fwhm_mm, target_fwhm_mm
        Full width at half maximum in mm of the point spread function, before and after; Gaussians
        add in squares.

    Returns
    -------
    (x, y, z) float32.

    Raises
    ------
    ReladError
        If the target is finer than what is known.

    References
    ----------
    Joshi et al., Reducing between scanner differences in multi-center PET studies, NeuroImage 2009.
    """
    if target_fwhm_mm < known_fwhm_mm:
        raise ReladError(
            f"PET of {known_fwhm_mm:g} mm resolution cannot be sharpened to {target_fwhm_mm:g} mm"
        )
    fwhm = np.sqrt(target_fwhm_mm**2 - known_fwhm_mm**2)
    sigma = fwhm / FWHM_PER_SIGMA / voxel_sizes(affine)
    return ndimage.gaussian_filter(np.asarray(pet, np.float32), sigma)
