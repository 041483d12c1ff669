"""Thin layer over ants: images in and out, and ``antsRegistration`` with named stages.

The full command-line interface of ``antsRegistration`` is used rather than antspyx's presets, so
that every iteration, shrink factor and mask is stated here and the seed reaches the optimiser.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
from ants.internal import get_pointer_string
from nibabel.affines import voxel_sizes

from relad.errors import DataError
from relad.imaging.resample import limit_resolution, to_grid
from relad.registration.transforms import FLIP

#: Environment variable with ITK's number of threads.
THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
#: Voxels at which N4 works, before it shrinks the image twofold.
BIAS_VOXEL_MM = 4.0


def configure(threads: int, seed: int) -> None:
    """Set ITK's threads and seed; ITK reads both when its first filter runs.

    Only one thread gives the same bytes every time: with more, ITK sums the metric in the order in
    which threads finish.
    """
    os.environ[THREADS] = str(threads)
    os.environ["ANTS_RANDOM_SEED"] = str(seed + 1)  # ANTs takes 0 as "use the clock"


def to_ants(data: np.ndarray, affine: np.ndarray) -> ants.ANTsImage:
    """Image (x, y, z) with a RAS voxel-to-mm affine, as ants holds it (LPS, float32)."""
    spacing = voxel_sizes(affine)
    lps = FLIP @ affine
    # ITK wants an orthonormal direction; the polar factor removes rounding of NIfTI's quaternions.
    u, stretch, vt = np.linalg.svd(lps[:3, :3] / spacing)
    if np.abs(stretch - 1).max() > 0.01:
        raise DataError("the affine shears the voxels, which registration cannot use")
    return ants.from_numpy(
        np.ascontiguousarray(data, dtype=np.float32),
        origin=lps[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=u @ vt,
    )


def affine_of(image: ants.ANTsImage) -> np.ndarray:
    """(4, 4) voxel to RAS mm affine of an ants image."""
    lps = np.eye(4)
    lps[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    lps[:3, 3] = image.origin
    return FLIP @ lps


def working_copy(image: nib.Nifti1Image, voxel_mm: float) -> ants.ANTsImage:
    """Bring an image to voxels of at least ``voxel_mm``, smoothed first where it is finer."""
    data = limit_resolution(np.asarray(image.dataobj), image.affine, voxel_mm)
    copy = to_ants(data, image.affine)
    spacing = [max(float(s), voxel_mm) for s in copy.spacing]
    return ants.resample_image(copy, spacing, use_voxels=False, interp_type=0)


def correct_bias(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """N4 bias field correction; the field, smooth as it is, is estimated coarsely."""
    low = working_copy(image, BIAS_VOXEL_MM)
    data = low.numpy()
    try:
        field = ants.n4_bias_field_correction(
            low,
            mask=to_ants(data > data.mean(), affine_of(low)),  # the head; air shows no bias
            shrink_factor=2,
            convergence={"iters": [20, 10], "tol": 1e-4},
            return_bias_field=True,
        )
    except RuntimeError as error:
        raise DataError(f"bias correction failed ({' '.join(str(error).split())})") from None
    native = to_grid(field.numpy(), affine_of(low), image.shape, image.affine, mode="nearest")
    data = np.asarray(image.dataobj, np.float32) / np.maximum(native, 1e-3)
    return nib.Nifti1Image(data.astype(np.float32), image.affine)


def clip_highlights(head: ants.ANTsImage) -> ants.ANTsImage:
    """Clip scalp fat to about the brain's brightness, else most bins of the metric go to it."""
    data = head.numpy()
    # Brighter than the mean: a threshold between air and head that needs no tuning.
    limit = np.percentile(data[data > data.mean()], 90)
    return to_ants(np.minimum(data, limit), affine_of(head))


def mask_of(data: np.ndarray, affine: np.ndarray) -> ants.ANTsImage:
    """Metric mask; antsRegistration reads its voxels as bytes, whatever their type."""
    return to_ants(data, affine).clone("unsigned char")


@dataclass(frozen=True)
class Stage:
    """One stage of ``antsRegistration``.

    Attributes
    ----------
    transform
        Such as ``Rigid[0.1]``, ``Affine[0.1]`` or ``SyN[0.2,3,0]``.
    iterations, shrink, sigmas
        Per level, coarse to fine; sigmas in voxels of the fixed image.
    metric
        ``MI`` (Mattes, 32 bins) or ``CC`` (local correlation over cubes of 3 voxels).
    sampling
        Share of the fixed image's voxels, on a regular lattice; 1 for all of them.
    mask
        Metric mask on the fixed image.
    """

    transform: str
    iterations: Sequence[int]
    shrink: Sequence[int]
    sigmas: Sequence[float]
    metric: str = "MI"
    sampling: float = 1.0
    mask: ants.ANTsImage | None = None

    def arguments(self, fixed: ants.ANTsImage, moving: ants.ANTsImage) -> list[str]:
        bins_or_radius = {"MI": 32, "CC": 1}[self.metric]
        sampling = f",Regular,{self.sampling}" if self.sampling < 1 else ""
        images = f"{get_pointer_string(fixed)},{get_pointer_string(moving)}"
        mask = "NA" if self.mask is None else get_pointer_string(self.mask)
        return [
            *("-t", self.transform),
            *("-m", f"{self.metric}[{images},1,{bins_or_radius}{sampling}]"),
            *("-c", f"[{'x'.join(map(str, self.iterations))},1e-6,10]"),
            *("-f", "x".join(map(str, self.shrink))),
            *("-s", "x".join(map(str, self.sigmas))),
            *("-x", f"[{mask},NA]"),
        ]


def register(
    fixed: ants.ANTsImage,
    moving: ants.ANTsImage,
    stages: Sequence[Stage],
    prefix: str | Path,
    *,
    seed: int,
    initial: str | Path | tuple[ants.ANTsImage, ants.ANTsImage] | None = None,
) -> None:
    """Run the stages; writes ``<prefix>0GenericAffine.mat`` and, after SyN, the two warps.

    Parameters
    ----------
    fixed, moving
        Images.
    initial
        A transform file, or two images whose centres of intensity are aligned (default: the
        images themselves).

    Raises
    ------
    DataError
        If antsRegistration fails.
    """
    if not isinstance(initial, str | Path):
        first, second = initial or (fixed, moving)
        initial = f"[{get_pointer_string(first)},{get_pointer_string(second)},1]"
    arguments = ["-d", "3", "-v", "0", "--float", "1", "--random-seed", str(seed + 1)]
    arguments += ["-r", str(initial), "-o", str(prefix)]
    for stage in stages:
        arguments += stage.arguments(fixed, moving)
    try:
        ants.registration(fixed=arguments, moving=None)
    except RuntimeError as error:
        raise DataError(f"registration failed ({' '.join(str(error).split())})") from None
