"""NIfTI images: read with checks, written whole and with the same bytes for the same voxels."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.errors import DataError, ReladError, refuse_machine_failure
from relad.fileio import whole_file
from relad.imaging import headers

#: FreeSurfer's formats, which state an orientation too.
_FREESURFER = (".mgh", ".mgz")
#: So many first bytes of a file tell what came in place of an image.
_TOLD = 256
_GZIP, _ANNEX = b"\x1f\x8b", b"annex/objects/"
_GET = "get the image: git annex get"
#: Where they say whether they do (goodRASFlag).
_ORIENTED = slice(28, 30)


def load_nifti(
    path: str | Path,
    *,
    ndim: int | None = None,
    allow_constant: bool = False,
    standard: bool = False,
) -> nib.Nifti1Image:
    """Load a NIfTI image (or FreeSurfer's) and check that its voxels and header can be used.

    The whole file is read, so that gzip's own checksum counts.

    Parameters
    ----------
    path
        ``.nii``, ``.nii.gz``, ``.mgh`` or ``.mgz``.
    ndim
        Required number of dimensions (a trailing axis of length one is dropped first).
    allow_constant
        Accept an image whose voxels all have one value (a mask, a synthetic image); a scan of
        that kind is refused.
    standard
        The image is one of a template: a form to a standard space goes before the scanner's.

    Returns
    -------
    Image whose data is float32 and in memory, with its affine in RAS mm.

    Raises
    ------
    DataError
        Where the file is damaged or none of these formats; where voxels are colours, complex, NaN,
        infinite or all one value; where the header states no orientation, or two that contradict
        each other, or a grid that no scan has (:mod:`relad.imaging.headers`).
    MachineError
        Where it could not be read for no fault of its own.
    """
    path = Path(path)
    return _load(path, path, ndim, allow_constant, standard)[0]


def load_exact(path: Path, *, converted: bool = False) -> nib.Nifti1Image:
    """Load a scan as :func:`load_nifti`, its small integers as such: what is copied stays as it is.

    ``converted``: a program wrote it that keeps to the sform; whether that is right is told by what
    it was made from.
    """
    image, header = _load(path, path.name, None, False, False, converted)
    if header is None or not headers.is_plain(header):
        return image
    kind = header.get_data_dtype().newbyteorder("=")
    return nib.Nifti1Image(np.asarray(image.dataobj).astype(kind), image.affine)


def _load(
    path: Path,
    named: str | Path,
    ndim: int | None,
    allow_constant: bool,
    standard: bool,
    converted: bool = False,
) -> tuple[nib.Nifti1Image, nib.Nifti1Header | None]:
    """Image and, of a NIfTI, its header as it stands in the file; messages name ``named``."""
    where = str(named)
    header, raw = None, read_whole(path, where)
    if path.name.lower().endswith(_FREESURFER):
        data, affine = _freesurfer(raw, where)
    else:
        header = headers.parse(raw, where)
        data = headers.values(header, raw)
        affine = header.get_best_affine() if converted else None
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if ndim is not None and data.ndim != ndim:
        raise DataError(f"has {data.ndim} dimensions where {ndim} are needed", file=where)
    bad = data.size - int(np.isfinite(data).sum())
    if bad:
        what = f"{bad} voxels are" if bad < data.size else "it holds no values: all voxels are"
        raise DataError(f"{what} NaN or infinite", file=where)
    if not allow_constant and float(data.max()) == float(data.min()):
        raise DataError("the image is empty (all voxels have one value)", file=where)
    if affine is None:
        affine = headers.orientation(header, where, standard=standard)
    headers.check_grid(data.shape, affine, where)
    return nib.Nifti1Image(data, affine), header


def read_whole(path: Path, where: str) -> bytes:
    """Bytes of an image's file, unpacked; reading to the end verifies gzip's checksum.

    Raises
    ------
    DataError
        Where it is not there, damaged, or has the name of another format.
    """
    name = path.name.lower()
    if path.is_symlink() and not path.exists():
        # A link whose target is gone stands in the folder all the same.
        annexed = _ANNEX.decode() in path.readlink().as_posix()
        raise DataError(
            "not readable: the link leads nowhere", file=where, hint=_GET if annexed else None
        )
    if not path.exists():
        raise DataError("no such image", file=where)
    if path.is_dir():
        raise DataError("is a folder where an image is needed", file=where)
    if not name.endswith((".nii", ".nii.gz", *_FREESURFER)):
        raise DataError(
            "is not a NIfTI file, by its name", file=where, hint="convert it to .nii or .nii.gz"
        )
    try:
        packed = name.endswith((".gz", ".mgz"))
        with path.open("rb") as stream:
            _refuse_others(stream.read(_TOLD), where)
        with gzip.open(path) if packed else path.open("rb") as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        refuse_machine_failure(error, where)
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        if said.startswith("Not a gzipped file"):
            with path.open("rb") as stream:
                begins = stream.read(len(_GZIP)) == _GZIP
            raise DataError(
                "cannot be read: behind its packed content stand bytes of something else"
                if begins
                else "cannot be read: its name ends in .gz, but it is not packed",
                file=where,
                hint="fetch or convert the file again" if begins else None,
            ) from None
        raise DataError(
            f"cannot be read: damaged or not readable ({said})",
            file=where,
            hint="fetch or convert the file again; it may be truncated",
        ) from None


def _refuse_others(head: bytes, where: str) -> None:
    """Refuse by its first bytes what came in place of an image."""
    text = head.lstrip().lower()
    if head.startswith(b"version https://git-lfs."):
        what, hint = "a pointer of Git LFS", "get the image: git lfs pull"
    elif _ANNEX in head:
        what, hint = "a pointer of git-annex", _GET
    elif text.startswith((b"<!doctype html", b"<html")):
        what, hint = "a web page", "download it again; the site may want you to sign in first"
    elif head.startswith(b"PK\3\4"):
        what, hint = "a zip archive", "unpack it"
    else:
        return
    raise DataError(f"cannot be read: it is {what} and no image", file=where, hint=hint)


def _freesurfer(raw: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (float32) and (4, 4) affine of an ``.mgh`` file in memory."""
    try:
        image = nib.MGHImage.from_bytes(raw)
        data = np.asarray(image.dataobj, np.float32)
    except Exception as error:  # nibabel raises nearly every built-in exception on a damaged file
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"damaged or not readable ({said})", file=where) from None
    if not any(raw[_ORIENTED]):  # nibabel would invent one
        raise DataError("states no orientation (goodRASFlag is 0)", file=where)
    if not abs(np.linalg.det(image.affine[:3, :3])) > 1e-12:
        raise DataError("its affine is singular; orientation is unknown", file=where)
    return data, image.affine


def check_output(path: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an image to be written that has another format's name, or is one of the inputs.

    Raises
    ------
    ReladError
        Saying which.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ReladError("the image's name must end in .nii or .nii.gz", file=path)
    if any(one is not None and one.resolve() == path.resolve() for one in inputs):
        raise ReladError("would replace an image it is made from", file=path)


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
