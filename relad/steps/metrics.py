"""How one 3D NIfTI image, or several samples of it, compare with another, as JSON on stdout.

Example:
  relad metrics synthetic.nii.gz real.nii.gz --mask brain.nii.gz --data-range 4
  relad metrics mean.nii.gz real.nii.gz --mask brain.nii.gz --data-range 4 --samples sample*.nii.gz
  relad metrics synthetic.nii.gz real.nii.gz --mask brain.nii.gz --data-range 4 --regions mni
  relad metrics synthetic.nii.gz real.nii.gz --data-range 4 --regions dseg.nii.gz --names dseg.tsv

prints one object of numbers: psnr (dB), ssim, ssim_open, mae, hfen, spectral_low, spectral_middle,
spectral_high (dB), crps, suvr and suvr_true (means of PRED and of TRUTH), and with --samples also
spread_skill, coverage_50, coverage_80 and coverage_90. The data range R is always given: PSNR is 10
log10(R^2 / MSE), and R sets the constants of SSIM; for SUVR images use the width of the tracer's
window in the configuration (suvr_window). SSIM is three-dimensional (Gaussian window, sigma 1.5
voxels, 11 taps, population covariance), its windows confined to the mask; ssim_open is the map of
the whole volume averaged over the mask; HFEN is ||LoG(error)|| / ||LoG(truth)|| in the mask (sigma
1.5 voxels); a spectral power is that of PRED over that of TRUTH in a band of spatial frequency
(octaves from 1/64 to 1/8 cycles/mm); crps is the MAE unless there are samples. What is not a finite
number is null: PSNR of identical images, which is infinite, and detail over that of a constant
truth. Images on different grids (shape or affine) are refused.

With --regions, the object also holds `regions`: region -> what `relad evaluate` takes in it, inside
the mask; null for a region of which less than half lies in the mask.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from relad.errors import DataError, ReladError
from relad.imaging.grid import require_same_grid
from relad.imaging.labels import read_labels, read_names
from relad.imaging.nifti import load_nifti
from relad.imaging.regions import require_mni
from relad.results.metrics import ANATOMY, compare, is_covered, mask_of
from relad.results.metrics.ensemble import require_samples

#: Word of --regions for relad's own.
MNI = "mni"
#: Ranges of data whose square float64 and float32 hold with digits to spare.
_RANGES = (1e-9, 1e15)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prediction", metavar="PRED", help="image to be judged (3D NIfTI)")
    parser.add_argument("truth", metavar="TRUTH", help="image it is compared with (3D NIfTI)")
    parser.add_argument(
        "--mask",
        metavar="MASK",
        help="3D NIfTI; voxels that are not zero are counted (default: all voxels)",
    )
    parser.add_argument(
        "--data-range",
        metavar="R",
        type=float,
        required=True,
        help="range of the data in the images' unit, e.g. 4 for a SUVR window of [0, 4]",
    )

    parser.add_argument(
        "--samples",
        metavar="SAMPLE",
        nargs="+",
        default=[],
        help="the images whose mean PRED is (3D NIfTI, two or more)",
    )
    parser.add_argument(
        "--regions",
        metavar="mni|LABELS",
        help="also in regions: relad's own, where the images lie in MNI152 space (mni), or those "
        "of a label image on their grid",
    )
    parser.add_argument(
        "--names",
        metavar="TABLE.tsv",
        help="table of the label image's regions: columns index and name, tab-separated",
    )


def run(args: argparse.Namespace) -> None:
    if not 0 < args.data_range < math.inf:
        raise ReladError(f"--data-range {args.data_range:g} is not a positive number")
    low, high = _RANGES
    if not low <= args.data_range <= high:
        raise ReladError(f"--data-range must lie in {low:g} to {high:g}, not {args.data_range:g}")
    if len(args.samples) == 1:
        raise ReladError("--samples names one image", hint="give two or more, or none")
    truth = load_nifti(args.truth, ndim=3, allow_constant=True)

    def read(file: str) -> np.ndarray:
        image = load_nifti(file, ndim=3, allow_constant=True)
        require_same_grid(
            image.shape, image.affine, truth.shape, truth.affine, file=file, other=args.truth
        )
        return np.asarray(image.dataobj)

    prediction = read(args.prediction)
    mask = np.ones(truth.shape, dtype=bool)
    if args.mask is not None:
        mask = read(args.mask) != 0
        if not mask.any():
            raise DataError("the mask is empty (all voxels are zero)", file=args.mask)
    masks = _masks(args, mask, truth) if args.regions else {}
    samples = np.stack([read(file) for file in args.samples]) if args.samples else None

    def compared(part: np.ndarray, **where: Any) -> dict[str, float | None]:
        drawn = None if samples is None else samples[:, part]
        values = compare(
            prediction, np.asarray(truth.dataobj), part, args.data_range, samples=drawn, **where
        )
        return {k: v if math.isfinite(v) else None for k, v in values.items()}

    try:
        if samples is not None:
            require_samples(prediction[mask], samples[:, mask], data_range=args.data_range)
        printed: dict[str, Any] = compared(mask, voxel_mm=voxel_sizes(truth.affine))
        if args.regions:
            own = args.regions != MNI
            printed["regions"] = {
                name: None if part is None else compared(part, region=name, own=own)
                for name, part in masks.items()
            }
    except DataError as error:
        raise DataError(error.what, file=args.prediction) from None
    print(json.dumps(printed))


def _masks(
    args: argparse.Namespace, mask: np.ndarray, truth: nib.Nifti1Image
) -> dict[str, np.ndarray | None]:
    """Part of the mask in every region; None where there is none, or too little."""
    if args.regions == MNI:
        if args.mask is None:
            raise ReladError("--regions mni needs --mask", hint="give the brain's mask")
        require_mni(mask, truth.affine, Path(args.mask))
        names, own = ANATOMY, {}
    else:
        own = _labelled(args, truth)
        names = tuple(own)
    return {
        name: mask_of(name, mask, truth.affine, own)
        if is_covered(name, mask, truth.affine, own)
        else None
        for name in names
    }


def _labelled(args: argparse.Namespace, truth: nib.Nifti1Image) -> dict[str, np.ndarray]:
    """Regions of the label image, by the names of its table."""
    if args.names is None:
        raise ReladError("--regions LABELS needs --names", hint="a table of index and name")
    labels, affine = read_labels(Path(args.regions))
    require_same_grid(
        labels.shape, affine, truth.shape, truth.affine, file=args.regions, other=args.truth
    )
    names: dict[int, str] = {}
    for name, label in read_names(Path(args.names)).items():
        if names.setdefault(label, name) != name:
            raise DataError(
                f"the label {label} has two names, {names[label]} and {name}", file=args.names
            )
    return {name: labels == label for label, name in names.items()}
