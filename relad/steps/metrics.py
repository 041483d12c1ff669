"""PSNR (dB), SSIM and MAE of one 3D NIfTI image against another, as JSON on stdout.

Example:
  relad metrics synthetic.nii.gz real.nii.gz --mask brain.nii.gz --data-range 4

prints one object with exactly the keys psnr, ssim and mae. The data range R is always given: PSNR
is 10 log10(R^2 / MSE), and R sets the constants of SSIM; for SUVR images use the width of the
tracer's window in the configuration (suvr_window). Identical images have an infinite PSNR, which
JSON cannot hold: psnr is then null. SSIM is three-dimensional (Gaussian window, sigma 1.5 voxels,
11 taps, population covariance), its map averaged over the mask. Images on different grids (shape
or affine) are refused.
"""

from __future__ import annotations

import argparse
import json
import math

import numpy as np

from relad.errors import DataError, ReladError
from relad.imaging.grid import require_same_grid
from relad.imaging.nifti import load_nifti
from relad.results.metrics import compare


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


def run(args: argparse.Namespace) -> None:
    if not (math.isfinite(args.data_range) and args.data_range > 0):
        raise ReladError(f"--data-range {args.data_range:g} is not a positive number")
    prediction = load_nifti(args.prediction, ndim=3, allow_constant=True)
    truth = load_nifti(args.truth, ndim=3, allow_constant=True)
    require_same_grid(
        prediction.shape,
        prediction.affine,
        truth.shape,
        truth.affine,
        file=args.prediction,
        other=args.truth,
    )
    mask = np.ones(truth.shape, dtype=bool)
    if args.mask is not None:
        image = load_nifti(args.mask, ndim=3, allow_constant=True)
        require_same_grid(
            image.shape,
            image.affine,
            truth.shape,
            truth.affine,
            file=args.mask,
            other=args.truth,
        )
        mask = np.asarray(image.dataobj) != 0
        if not mask.any():
            raise DataError("the mask is empty (all voxels are zero)", file=args.mask)
    try:
        values = compare(
            np.asarray(prediction.dataobj), np.asarray(truth.dataobj), mask, args.data_range
        )
    except DataError as error:
        raise DataError(error.what, file=args.prediction) from None
    print(json.dumps({k: v if math.isfinite(v) else None for k, v in values.items()}))
