"""Transforms as files and as arrays. Files are ITK's; arrays speak RAS millimetres.

An ITK transform named ``from-A_to-B_mode-image`` resamples an image of space A onto a grid of
space B, so it maps *points* of B to points of A, in LPS millimetres. Here every matrix and warp
maps RAS points the same way as its file. Reading needs no ants, so that
:mod:`relad.steps.normalize` runs without it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import io, ndimage

from relad.errors import DataError, ReladError, refuse_machine_failure
from relad.fileio import whole_file, write_text
from relad.imaging import headers
from relad.imaging.nifti import read_whole
from relad.study import paths

#: Turns RAS into LPS coordinates and back.
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
#: ITK transforms as text.
TEXT_SUFFIXES = (".txt", ".tfm")


def read_affine(path: str | Path) -> np.ndarray:
    """Read an ITK affine or rigid transform (``.mat``, or text as ``.txt`` and ``.tfm``).

    Returns
    -------
    (4, 4) array mapping RAS mm points as the transform does.

    Raises
    ------
    DataError
        If the file is not such a transform.
    """
    path = Path(path)
    try:
        parameters, centre = _text(path) if path.suffix in TEXT_SUFFIXES else _matlab(path)
        linear = parameters[:9].reshape(3, 3)
        shift = parameters[9:].reshape(3)
    except (OSError, ValueError, KeyError, StopIteration, io.matlab.MatReadError) as error:
        refuse_machine_failure(error, path)
        raise DataError(f"not an ITK affine transform ({error!r})", file=path) from None
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = shift + centre - linear @ centre
    return FLIP @ matrix @ FLIP


def _matlab(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (12,) and centre (3,) of a transform in ITK's MATLAB form."""
    content = io.loadmat(str(path))
    name = next(key for key in content if "Transform_" in key)
    return content[name].ravel().astype(np.float64), content["fixed"].ravel().astype(np.float64)


def _text(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (12,) and centre (3,) of a transform in ITK's text form."""
    lines = dict(line.split(": ", 1) for line in path.read_text().splitlines() if ": " in line)
    return (
        np.array(lines["Parameters"].split(), np.float64),
        np.array(lines["FixedParameters"].split(), np.float64),
    )


def check_suffix(path: Path) -> None:
    """Refuse a file name that :func:`write_affine` cannot write.

    Raises
    ------
    ReladError
        If its suffix is not one of a transform.
    """
    if path.suffix not in (".mat", *TEXT_SUFFIXES):
        raise ReladError(
            f"cannot hold a transform (its suffix is {path.suffix!r})",
            file=path,
            hint="name it .mat, .txt or .tfm",
        )


def write_affine(path: str | Path, matrix: np.ndarray) -> None:
    """Write a (4, 4) map of RAS mm points as an ITK transform (LPS), by suffix.

    ``.mat`` is ITK's MATLAB form, as ANTs writes it; ``.txt`` and ``.tfm`` are its text form.

    Raises
    ------
    ReladError
        If the suffix is another one.
    """
    path = Path(path)
    check_suffix(path)
    itk = FLIP @ matrix @ FLIP
    parameters = np.concatenate([itk[:3, :3].ravel(), itk[:3, 3]])
    if path.suffix in TEXT_SUFFIXES:
        write_text(
            path,
            "#Insight Transform File V1.0\n#Transform 0\n"
            "Transform: AffineTransform_double_3_3\n"
            f"Parameters: {' '.join(repr(float(v)) for v in parameters)}\n"
            "FixedParameters: 0 0 0\n",
        )
        return
    content = {"AffineTransform_double_3_3": parameters[:, None], "fixed": np.zeros((3, 1))}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        io.savemat(file, content, format="4")


class Warp:
    """Displacement field of a diffeomorphism.

    Parameters
    ----------
    path
        ITK displacement field, (x, y, z, 1, 3) NIfTI in LPS mm.
    """

    def __init__(self, path: str | Path):
        raw = read_whole(Path(path), str(path))
        header = headers.parse(raw, str(path))
        field = headers.values(header, raw)
        if field.ndim != 5 or field.shape[3:] != (1, 3):
            raise DataError(f"not a displacement field (shape {field.shape})", file=path)
        self.displacement = field[..., 0, :] * np.array([-1, -1, 1], np.float32)
        self.affine = header.get_best_affine()

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map RAS points (..., 3) in mm; outside the field they stay where they are."""
        index = np.moveaxis(apply_affine(np.linalg.inv(self.affine), points), -1, 0)
        moved = [
            ndimage.map_coordinates(
                self.displacement[..., axis], index, order=1, mode="grid-constant"
            )
            for axis in range(3)
        ]
        return points + np.stack(moved, axis=-1)


class MniToT1w:
    """Map from MNI to a registered subject's T1w and back, both RAS mm.

    Parameters
    ----------
    folder
        Folder of `relad register`.
    subject
        Label without ``sub-``.
    """

    def __init__(self, folder: Path, subject: str):
        self._folder, self._subject = folder, subject
        warp = folder / names(subject)["t1w_to_mni_warp"]
        self.warp = Warp(warp) if warp.exists() else None
        self.affine = read_affine(folder / names(subject)["t1w_to_mni_affine"])

    def __call__(self, points: np.ndarray, *, deform: bool = True) -> np.ndarray:
        """Map MNI points (..., 3) to the same anatomy in the T1w.

        ``deform=False`` leaves the SyN warp out, as does a subject registered by the affine alone.
        """
        if deform and self.warp is not None:
            points = self.warp(points)
        return apply_affine(self.affine, points)

    def inverse(self, points: np.ndarray, *, deform: bool = True) -> np.ndarray:
        """Map points (..., 3) of the T1w to the same anatomy in MNI; ``deform`` as above."""
        points = apply_affine(np.linalg.inv(self.affine), points)
        return self._warp_back(points) if deform and self.warp is not None else points

    @cached_property
    def _warp_back(self) -> Warp:
        return Warp(self._folder / names(self._subject)["mni_to_t1w_warp"])


def names(subject: str) -> dict[str, str]:
    """File names of a subject's transforms and images inside its registered folder."""
    x = f"sub-{subject}"
    return {
        "t1w": f"{x}_desc-biascorrected_T1w.nii.gz",
        "flair": f"{x}_desc-biascorrected_FLAIR.nii.gz",
        "brain_mask": f"{x}_space-T1w_desc-brain_mask.nii.gz",
        "segmentation": f"{x}_space-T1w_dseg.nii.gz",
        "segmentation_table": f"{x}_space-T1w_dseg.tsv",
        "flair_to_t1w": f"{x}_from-FLAIR_to-T1w_mode-image_xfm.mat",
        "t1w_to_mni_affine": f"{x}_from-T1w_to-MNI_mode-image_desc-affine_xfm.mat",
        "t1w_to_mni_warp": f"{x}_from-T1w_to-MNI_mode-image_desc-warp_xfm.nii.gz",
        "mni_to_t1w_warp": f"{x}_from-MNI_to-T1w_mode-image_desc-warp_xfm.nii.gz",
    }


def pet_names(subject: str, tracer: str) -> dict[str, str]:
    """File names of one tracer's images and transforms inside the registered folder."""
    x = f"sub-{subject}_trc-{tracer}"
    return {
        "frames": f"{x}_desc-frames_pet.nii.gz",
        "mean": f"{x}_desc-mean_pet.nii.gz",
        "motion": paths.motion(subject, tracer),
        "pet_to_t1w": f"{x}_from-PET_to-T1w_mode-image_xfm.mat",
    }
