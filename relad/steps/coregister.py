"""Register one image of a person to another, rigidly: FLAIR to T1w, PET to T1w, T1w to T1w.

  relad coregister T1w.nii.gz FLAIR.nii.gz --transform flair_to_t1w.mat --resampled flair.nii.gz
  relad coregister T1w.nii.gz pet.nii.gz --pet --transform pet_to_t1w.mat

TRANSFORM is ITK's (.mat, .txt or .tfm): it maps points of FIXED to points of MOVING, in LPS mm, as
`antsApplyTransforms -r FIXED -i MOVING -t TRANSFORM` and ITK-SNAP expect. The images may lie far
apart: headers and centres of intensity are both tried as a start, each turned either way.

A PET (--pet, or more than one frame, or a name that ends in _pet) is compared with FIXED in and
near the brain, which is extracted as `relad register` does unless --mask gives it. Its frames are
realigned and averaged, weighted by the durations of its BIDS sidecar where there is one; --frames
leaves out the early ones, which show blood and not yet the brain.

At the end the pose must fit better than poses 8 mm and 10 degrees away, or nothing is written
(--force writes all the same).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from relad.cli import whole_number
from relad.errors import DataError, ReladError
from relad.fileio import scratch_folder
from relad.imaging.headers import VOXEL_MM
from relad.imaging.nifti import check_output, load_nifti, save_nifti
from relad.imaging.resample import grid_points, limit_resolution, sample
from relad.imaging.similarity import pose_margin
from relad.registration import engine, extraction, inputs, motion, rigid
from relad.registration.transforms import check_suffix, read_affine, write_affine
from relad.status import Kind, is_simulated

#: Frames that seem to have moved by more than this were not realigned but lost, in mm.
MOST_MOTION_MM = 30.0
#: Voxel edge in mm at which the found pose is compared with others.
CHECK_VOXEL_MM = 4.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fixed", metavar="FIXED", type=Path, help="image that stays (3D NIfTI)")
    parser.add_argument("moving", metavar="MOVING", type=Path, help="image to bring there")
    parser.add_argument(
        "--transform",
        metavar="FILE",
        type=Path,
        required=True,
        help="ITK transform to write, .mat, .txt or .tfm",
    )
    parser.add_argument(
        "--resampled", metavar="FILE", type=Path, help="also write MOVING on the grid of FIXED"
    )
    parser.add_argument(
        "--mask", metavar="FILE", type=Path, help="brain mask on the grid of FIXED (for PET)"
    )
    parser.add_argument("--pet", action="store_true", help="MOVING is a PET")
    parser.add_argument(
        "--frames",
        metavar=("FIRST", "LAST"),
        type=whole_number(0),
        nargs=2,
        help="frames of the PET to average, counted from 0, both included (default: all)",
    )
    parser.add_argument(
        "--voxel-mm",
        metavar="MM",
        type=float,
        default=2.0,
        help="images finer than this are brought to it before they are compared (default: 2)",
    )
    parser.add_argument("--threads", type=whole_number(1, 1024), default=1,
                        help="ITK threads (default: 1, the same bytes every time)")  # fmt: skip
    parser.add_argument(
        "--seed",
        type=whole_number(0, 2**31 - 2),
        default=0,
        help="of the metric's sampling (default: 0)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="write the transform although a displaced pose fits better",
    )


def run(args: argparse.Namespace) -> None:
    low, high = VOXEL_MM
    if not low <= args.voxel_mm <= high:
        raise ReladError(f"--voxel-mm must lie in {low:g} to {high:g}, not {args.voxel_mm:g}")
    check_suffix(args.transform)
    if args.resampled is not None:
        check_output(args.resampled, [args.fixed, args.moving, args.mask])
    engine.configure(args.threads, args.seed)
    fixed = load_nifti(args.fixed, ndim=3)
    moving = load_moving(args.moving, pet=args.pet, frames=args.frames)
    mask = None if args.mask is None else extraction.load_mask(args.mask, fixed)
    matrix, margin, pose = coregister(fixed, moving, mask, voxel_mm=args.voxel_mm, seed=args.seed)
    if margin <= 0:
        what = (
            f"{args.moving.name} fits {args.fixed.name} better when {pose}: the registration failed"
        )
        if not args.force:
            raise ReladError(
                what, file=args.moving, hint="look at both images; --force writes it all the same"
            )
        print(f"relad coregister: warning: {what}", file=sys.stderr)
    write_affine(args.transform, matrix)
    if args.resampled is not None:
        points = apply_affine(matrix, grid_points(fixed.shape, fixed.affine))
        mark = Kind.SIMULATED.mark if is_simulated(args.moving) else ""
        save_nifti(args.resampled, moving.mean_at(points), fixed.affine, note=mark)
    if margin > 0:
        said = f"fits better than 12 displaced poses, by {margin:.4f} (mutual information)"
        print(f"{args.transform}: {said}", file=sys.stderr)


@dataclass(frozen=True)
class Moving:
    """The image that moves.

    Attributes
    ----------
    frames
        Images (x, y, z) on one grid; a single one unless it is a dynamic PET.
    affine
        Their (4, 4) voxel to RAS mm affine.
    poses
        Per frame the (4, 4) map of points from the reference frame to it.
    seconds
        Weights of the frames.
    pet
        Whether it is a PET.
    """

    frames: list[np.ndarray]
    affine: np.ndarray
    poses: list[np.ndarray]
    seconds: list[float]
    pet: bool

    def mean_at(self, points: np.ndarray) -> np.ndarray:
        """Mean of the frames at points (..., 3) of the reference frame, each interpolated once."""
        return motion.average_at(points, self.frames, self.affine, self.poses, self.seconds)

    def image(self) -> nib.Nifti1Image:
        """Mean image on the reference frame's own grid."""
        if len(self.frames) == 1:
            return nib.Nifti1Image(self.frames[0], self.affine)
        points = grid_points(self.frames[0].shape, self.affine)
        return nib.Nifti1Image(self.mean_at(points), self.affine)


def load_moving(path: Path, *, pet: bool, frames: Sequence[int] | None) -> Moving:
    """Load the image that moves; realign the frames of a PET.

    Raises
    ------
    DataError
        Where the image has other dimensions, an empty frame, or frames that cannot be realigned.
    """
    image = load_nifti(path)
    data = np.asarray(image.dataobj)
    meta = inputs.sidecar(path)
    pet = pet or "TracerName" in meta or path.name.split(".nii")[0].endswith("_pet")
    if data.ndim == 4 and not pet:
        raise DataError(
            "has 4 dimensions; a series over time cannot be registered as one image",
            file=path,
            hint="if it is a PET, say --pet",
        )
    if data.ndim not in (3, 4):
        raise DataError(f"has {data.ndim} dimensions where 3 or 4 are needed", file=path)
    if data.ndim == 3:
        return Moving([data], image.affine, [np.eye(4)], [1.0], pet)
    first, last = frames or (0, data.shape[3] - 1)
    if not 0 <= first <= last < data.shape[3]:
        raise DataError(f"has frames 0 to {data.shape[3] - 1}, not {first} to {last}", file=path)
    try:
        durations = inputs.durations(meta, data.shape[3])
    except DataError as error:
        raise DataError(error.what, file=path) from None
    chosen = [np.ascontiguousarray(data[..., i]) for i in range(first, last + 1)]
    for index, frame in enumerate(chosen, first):
        if not frame.max() > 0:
            raise DataError(f"frame {index} is empty", file=path, hint="leave it out by --frames")
    centre = apply_affine(image.affine, np.asarray(data.shape[:3]) / 2)
    poses = []
    for index, pose in enumerate(motion.realign(chosen, image.affine), first):
        moved = None if pose is None else motion.displacement_mm(pose, centre)
        if pose is None or not moved <= MOST_MOTION_MM:
            why = "it shows too little of the head" if moved is None else f"{moved:.0f} mm away"
            raise DataError(
                f"frame {index} cannot be realigned ({why})",
                file=path,
                hint="choose frames with uptake in the brain by --frames",
            )
        poses.append(pose)
    seconds = [durations[i] if durations else 1.0 for i in range(first, last + 1)]
    return Moving(chosen, image.affine, poses, seconds, pet)


def coregister(
    fixed: nib.Nifti1Image,
    moving: Moving,
    mask: np.ndarray | None = None,
    *,
    voxel_mm: float,
    seed: int = 0,
) -> tuple[np.ndarray, float, str]:
    """Register rigidly and compare the pose with displaced ones.

    Parameters
    ----------
    fixed
        3D image.
    moving
        MRI or PET.
    mask
        (x, y, z) boolean brain on the grid of ``fixed``, used for PET.
    voxel_mm
        Resolution at which the images are compared.

    Returns
    -------
    (4, 4) map of RAS mm points from fixed to moving; by how much the pose fits better than the
    best displaced one (normalised mutual information); that pose's name.
    """
    corrected = engine.correct_bias(fixed)
    low = engine.working_copy(corrected, voxel_mm)
    affine = engine.affine_of(low)
    with scratch_folder() as scratch:
        prefix = scratch / "moving"
        image = moving.image()
        if moving.pet:
            if mask is None:
                mask = extraction.extract("auto", corrected, low, None, scratch, seed=seed).mask
            found = extraction.on_low(mask, fixed.affine, low)
            if not found.any():
                raise DataError("no brain was found in the fixed image")
            rigid.pet_to_t1w(low, found, image.get_fdata(dtype=np.float32), image.affine, prefix,
                             seed=seed)  # fmt: skip
        else:
            image = engine.correct_bias(image)
            rigid.flair_to_t1w(low, engine.working_copy(image, voxel_mm), prefix, seed=seed)
        matrix = read_affine(f"{prefix}0GenericAffine.mat")
    margin, pose = _margin(low.numpy(), affine, image, matrix)
    return matrix, margin, pose


def _margin(
    fixed: np.ndarray, affine: np.ndarray, moving: nib.Nifti1Image, matrix: np.ndarray
) -> tuple[float, str]:
    """How much better the pose fits than displaced ones, over what is bright in ``fixed``."""
    step = max(round(CHECK_VOXEL_MM / float(np.linalg.norm(affine[:3, 0]))), 1)
    index = np.argwhere(fixed > fixed.mean())[:: step**3].astype(float)
    points = apply_affine(affine, index)
    values = sample(limit_resolution(fixed, affine, CHECK_VOXEL_MM), affine, points)
    smooth = limit_resolution(np.asarray(moving.dataobj), moving.affine, CHECK_VOXEL_MM)
    return pose_margin(points, values, smooth, moving.affine, matrix)
