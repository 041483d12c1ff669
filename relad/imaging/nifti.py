"""NIfTI images: read with checks, written whole and with the same bytes for the same voxels."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.errors import DataError
from relad.fileio import whole_file


def load_nifti(
    path: str | Path, *, ndim: int | None = None, allow_constant: bool = False
) -> nib.Nifti1Image:
    """Load a NIfTI image and check that its voxels can be used.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.
    ndim
        Required number of dimensions (a trailing axis of length one is dropped first).
    allow_constant
        Accept an image whose voxels all have one value (a mask, a synthetic image); a scan of
        that kind is refused.

    Returns
    -------
    Image whose data is float32 and in memory.

    Raises
    ------
    DataError
        Where the file is truncated, holds NaN or infinity, is constant, or has no orientation.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such image", file=path)
    try:
        image = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (
        nib.filebasedimages.ImageFileError,
        nib.spatialimages.HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        gzip.BadGzipFile,
    ) as error:
        raise DataError(
            f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())})",
            file=path,
            hint="fetch or convert the file again; it may be truncated",
        ) from None
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if ndim is not None and data.ndim != ndim:
        raise DataError(f"has {data.ndim} dimensions where {ndim} are needed", file=path)
    if not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise DataError(f"{bad} voxels are NaN or infinite", file=path)
    if data.size == 0:
        raise DataError("the image has no voxels", file=path)
    if not allow_constant and float(data.max()) == float(data.min()):
        raise DataError("the image is empty (all voxels have one value)", file=path)
    affine = image.affine
    if abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise DataError("the affine is singular; orientation is unknown", file=path)
    return nib.Nifti1Image(data, affine)


def save_nifti(
    path: str | Path,
    data: np.ndarray,
    affine: np.ndarray,
    *,
    note: str = "",
    compact: bool = False,
) -> None:
    """Write voxels (float32 or integer) with an affine in mm, byte-identical for equal input.

    ``note`` (at most 79 bytes) goes into the header's description. ``compact`` stores int16 and a
    scale (``scl_slope``): half the bytes, each voxel off by at most 1/65534 of the largest
    magnitude, and 0 stays 0.
    """
    path = Path(path)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif data.dtype == np.float64:
        data = data.astype(np.float32)
    scale = (float(np.abs(data).max()) / np.iinfo(np.int16).max or 1.0) if compact else None
    if scale is not None:
        data = np.rint(data / scale).astype(np.int16)
    image = nib.Nifti1Image(data, affine)
    image.header.set_slope_inter(scale, None if scale is None else 0.0)
    image.header["descrip"] = note.encode()[:79]
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=2)
    image.set_qform(affine, code=2)
    raw = image.to_bytes()
    with whole_file(path) as temporary:
        if path.name.endswith(".gz"):
            # mtime=0 and no file name: gzip headers would otherwise differ from run to run.
            with temporary.open("wb") as file, gzip.GzipFile("", "wb", 4, file, mtime=0) as packed:
                packed.write(raw)
        else:
            temporary.write_bytes(raw)
