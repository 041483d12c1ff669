"""What a NIfTI header must say before its voxels are believed: type, size, orientation, grid.

nibabel mends a header as it loads it (a negative voxel size, a missing orientation) and says so in
a log that nobody reads; here the header is taken as it stands in the file, and what contradicts
itself is an error.
"""

from __future__ import annotations

from itertools import product

import nibabel as nib
import numpy as np

from relad.errors import DataError

#: Voxel edges (mm) of any brain scan lie between these.
VOXEL_MM = (0.1, 25.0)
#: A scan's greatest extent (mm); units other than mm show by it.
EXTENT_MM = 2500.0
#: Fewer voxels than this along an axis are a localiser or a picture, not a volume.
LEAST_VOXELS = 4
#: qform and sform of one space put every corner of the grid within this share of a voxel edge;
#: beyond it their bearer lies in two places.
_APART = 0.5
#: Forms of two scanner spaces (one of them realigned) may differ by a turn, but not in size.
_RIGID = 0.05
#: Cosine of the angle between two voxel axes that counts as a right one.
_SQUARE = 0.01
#: mm of one unit of length, by NIfTI's code; files that state none are in mm.
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
#: Codes of scanner spaces; greater ones are of a standard space (Talairach, MNI, a template).
_SCANNER = (1, 2)


def parse(raw: bytes, where: str) -> nib.Nifti1Header:
    """Header at the start of a NIfTI-1 or NIfTI-2 file, as it stands there.

    Raises
    ------
    DataError
        Where there is none, or it says what no image can be.
    """
    kinds = (nib.Nifti1Header, nib.Nifti2Header)
    kind = next((k for k in kinds if k.may_contain_header(raw[: k.sizeof_hdr])), None)
    if kind is None:
        analyze = len(raw) >= 348 and nib.AnalyzeHeader.may_contain_header(raw[:348])
        hint = "Analyze does not tell left from right; convert it again" if analyze else None
        raise DataError("its header cannot be read: it is not a NIfTI file", file=where, hint=hint)
    try:
        header = kind(raw[: kind.sizeof_hdr], check=False)
        stored, shape = header.get_data_dtype(), header.get_data_shape()
        offset = int(header["vox_offset"])
        header.get_slope_inter()  # raises where the intercept is infinite
        count = int(np.prod([int(n) for n in shape], dtype=object))
    except Exception as error:  # a damaged header raises nearly every built-in exception
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"its header cannot be read ({said})", file=where) from None
    if bytes(header["magic"]).startswith(b"ni"):
        raise DataError(
            "is the header of a pair (.hdr and .img)", file=where, hint="convert it to one .nii"
        )
    if int(header["sizeof_hdr"]) != kind.sizeof_hdr:
        raise DataError(f"its header states a size of {int(header['sizeof_hdr'])}", file=where)
    if min(shape, default=0) < 1:
        raise DataError("the image has no voxels", file=where)
    if 3000 <= int(header["intent_code"]) < 3100:
        raise DataError("is CIFTI (values of points of the cortex), no volume", file=where)
    if stored.fields is not None:
        raise DataError("holds colours instead of one value per voxel", file=where,
                        hint="give the scan itself, not a picture of it")  # fmt: skip
    if stored.kind == "c":
        raise DataError("holds complex values instead of one real value per voxel", file=where,
                        hint="write its magnitude to a file of its own")  # fmt: skip
    if int(header["bitpix"]) != stored.itemsize * 8:
        raise DataError(
            f"its header states {int(header['bitpix'])} bits for a voxel of type {stored}",
            file=where,
        )
    if np.isinf(float(header["scl_slope"])):
        raise DataError("its scale is infinite", file=where)
    if offset < kind.sizeof_hdr or offset != float(header["vox_offset"]):
        raise DataError(
            f"its voxels cannot begin at byte {float(header['vox_offset']):g}", file=where
        )
    needed = offset + count * stored.itemsize
    if len(raw) != needed:
        what = "truncated" if len(raw) < needed else "longer than its header says"
        raise DataError(f"{what} (holds {len(raw)} of {needed} bytes)", file=where)
    return header


def values(header: nib.Nifti1Header, raw: bytes) -> np.ndarray:
    """Voxels of a file in memory, as float32; integers are scaled in float64.

    Parameters
    ----------
    header
        Of :func:`parse`.
    raw
        The whole file, unpacked.
    """
    stored, shape = header.get_data_dtype(), header.get_data_shape()
    flat = np.frombuffer(raw, stored, offset=int(header["vox_offset"]))
    array = flat.reshape(shape, order="F")
    slope, inter = header.get_slope_inter()
    if slope is None or (slope, inter) == (1, 0):
        return array.astype(np.float32)
    out = np.empty(shape, np.float32, order="F")
    for k in range(shape[-1]):  # one volume in float64 at a time
        out[..., k] = array[..., k] * np.float64(slope) + np.float64(inter or 0)
    return out


def is_plain(header: nib.Nifti1Header) -> bool:
    """Whether voxels are integers of at most 16 bits without a scale: float32 holds them."""
    stored = header.get_data_dtype()
    unscaled = header.get_slope_inter() in ((None, None), (1, 0))
    return stored.kind in "iu" and stored.itemsize <= 2 and unscaled


def orientation(header: nib.Nifti1Header, where: str, *, standard: bool = False) -> np.ndarray:
    """(4, 4) voxel index to RAS mm of what a header says, if it does not contradict itself.

    A scan often has two forms: qform, where it lay in the scanner, and sform, which may be the
    same, realigned, or an affine to a template. The last one is no place of this person's head.

    Parameters
    ----------
    standard
        Prefer a form to a standard space (code 3 and above), for images of a template.

    Raises
    ------
    DataError
        Where there is no orientation or there are two; where axes are oblique to one another or
        voxel sizes contradict them.
    """
    forms = _forms(header, where)
    if not forms:
        raise DataError(
            "states no orientation (qform and sform code are 0)",
            file=where,
            hint="left and right cannot be told; convert it again from its DICOM",
        )
    _require_one_place(forms, header.get_data_shape()[:3], where)
    wanted = [form for code, form in forms if (code in _SCANNER) != standard]
    # Of two as good the sform, as everywhere; it stands last.
    affine = wanted[-1] if wanted else forms[-1][1]
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    zooms = np.asarray(header["pixdim"][1:4], float)
    # An affine to a template stretches and shears the voxels whose sizes the header states.
    if not standard and not np.allclose(edges, zooms, rtol=0.01):
        raise DataError(
            f"its voxel sizes {np.round(zooms, 3).tolist()} mm contradict its affine's "
            f"{np.round(edges, 3).tolist()} mm",
            file=where,
            hint="one of them is wrong: convert it again from its DICOM, or put the header right",
        )
    cosines = (affine[:3, :3] / edges).T @ (affine[:3, :3] / edges) - np.eye(3)
    if not standard and np.abs(cosines).max() > _SQUARE:
        raise DataError(
            "its axes are not at right angles (a shear)",
            file=where,
            hint="resample it onto a grid whose axes are",
        )
    code = int(header["xyzt_units"]) & 7
    unit = _UNIT_MM.get(code)
    if unit is None:
        raise DataError(f"its unit of length has the code {code}, which is none", file=where)
    return np.diag([unit, unit, unit, 1.0]) @ affine


def _forms(header: nib.Nifti1Header, where: str) -> list[tuple[int, np.ndarray]]:
    """Code and (4, 4) affine of each form that a header states, the sform last."""
    codes = {name: int(header[f"{name}_code"]) for name in ("qform", "sform")}
    for name, code in codes.items():
        if not 0 <= code <= 5:
            raise DataError(f"its {name} code is {code}, which is none", file=where)
    forms = []
    if codes["qform"]:
        turned = header.copy()
        if float(turned["pixdim"][0]) == 0.0:  # which NIfTI reads as 1
            turned["pixdim"][0] = 1.0
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused below
                forms.append((codes["qform"], turned.get_qform()))
        except Exception as error:  # quaternions that are none
            raise DataError(f"its qform is no rotation ({error})", file=where) from None
    if codes["sform"]:
        with np.errstate(all="ignore"):
            forms.append((codes["sform"], header.get_sform()))
    for _, form in forms:
        if not np.isfinite(form).all() or abs(np.linalg.det(form[:3, :3])) < 1e-12:
            raise DataError("its affine is singular; orientation is unknown", file=where)
    return forms


def _require_one_place(
    forms: list[tuple[int, np.ndarray]], shape: tuple[int, ...], where: str
) -> None:
    """Refuse two forms of which nobody can tell which one holds."""
    if len(forms) < 2:
        return
    (q_code, q), (s_code, s) = forms
    between = np.linalg.inv(q[:3, :3]) @ s[:3, :3]
    agree = bool(np.linalg.det(between) > 0)  # else one of them swaps left and right
    if q_code == s_code:
        three = (*shape, 1, 1)[:3]  # a picture has two
        corners = np.array([[*c, 1] for c in product(*[(0, n - 1) for n in three])]).T
        apart = np.linalg.norm(((q - s) @ corners)[:3], axis=0).max()
        agree &= bool(apart < _APART * np.linalg.norm(s[:3, :3], axis=0).min())
    elif q_code in _SCANNER and s_code in _SCANNER:  # realigned: turned and shifted, never scaled
        # In voxel axes a turn is orthogonal only up to the voxel's edges.
        edges = np.linalg.norm(q[:3, :3], axis=0)
        turn = (s[:3, :3] / edges) @ np.linalg.inv(q[:3, :3] / edges)
        agree &= bool(np.abs(turn.T @ turn - np.eye(3)).max() < 2 * _RIGID)
    if not agree:
        raise DataError(
            "its qform and sform contradict each other",
            file=where,
            hint="which one is right only its source can tell; convert it again",
        )


def check_grid(shape: tuple[int, ...], affine: np.ndarray, where: str) -> None:
    """Check that a grid (x, y, z, …) with its affine in mm can be a scan's of a head.

    Raises
    ------
    DataError
        Where its voxels are too few, or sizes or extent cannot be.
    """
    if len(shape) < 3 or min(shape[:3]) < LEAST_VOXELS:
        raise DataError(f"has {' x '.join(map(str, shape))} voxels, which is no volume", file=where)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = VOXEL_MM
    if not (np.isfinite(affine).all() and edges.min() >= low and edges.max() <= high):
        raise DataError(f"voxels of {np.round(edges, 4).tolist()} mm cannot be", file=where)
    extent = edges * shape[:3]
    if extent.max() > EXTENT_MM:
        raise DataError(f"an extent of {extent.max():.0f} mm cannot be", file=where)
