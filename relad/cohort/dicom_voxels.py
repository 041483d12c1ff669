"""Voxels of a DICOM series, plane by plane as its headers have them, and dcm2niix held to them.

dcm2niix sorts, scales and places planes by rules of its own for each vendor. Most of them are
right; where one is not (enhanced PET of some vendors, slopes that differ from plane to plane, small
slopes, several parts in one series), what was read here is taken instead, with a note.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pydicom

from relad.cohort import convert
from relad.cohort.convert import Image
from relad.cohort.dicom import Pixels, bytes_of
from relad.cohort.dicom_planes import Plane
from relad.cohort.dicom_series import Series
from relad.errors import DataError

#: Greatest difference of a voxel from its header's value, as share of the largest magnitude in its
#: plane: what storing a volume as 16-bit integers may cost a plane as bright as the brightest.
VALUE_TOLERANCE = 1e-4
#: Neighbouring planes of one scan differ less than so many times in their scale and values.
FAR = 100.0
#: Where more than this share of all values exceeds the stored bits, the bits are stated wrong.
MANY = 0.05
#: Greatest distance of a voxel from where its header has it, as share of a voxel.
PLACE_TOLERANCE = 0.05


def read(series: Series, where: str) -> tuple[Image, list[str]]:
    """Convert a series, and compare every plane with its header.

    Parameters
    ----------
    series
        Its files, checked (:func:`relad.cohort.dicom_series.read_series`).
    where
        Its name for messages.

    Returns
    -------
    Voxels (X, Y, Z) or (X, Y, Z, T), their affine and the sidecar; and what a person should look
    at.

    Raises
    ------
    DataError
        Where its voxels cannot be read, or do not lie or follow as the headers have it and no
        decoder is here to read them without dcm2niix.
    """
    frames = [[_stored(plane) for plane in frame.planes] for frame in series.frames]
    decoded = all(plane is not None for frame in frames for plane in frame)
    affine = _affine(series)
    padding = _padding(series, frames) if decoded else None
    notes = _mask(series, frames, where) if decoded else []
    own = _assemble(series, frames) if decoded else None
    if own is not None:
        if padding is not None:
            notes.append(_blank(own, padding))
        if not np.isfinite(own).all():
            raise DataError("its RescaleSlope takes values beyond all measure", file=where)
        _check_levels(series, own, where)
    try:
        made = convert.convert_dicom(series.files, where)
    except (DataError, FileNotFoundError, ValueError) as error:
        what = getattr(error, "what", "dcm2niix wrote no sidecar of it that can be read")
        if own is None:
            raise DataError(what, file=where) from None
        _check(own, where)
        notes.append(f"{what}; read plane by plane with pydicom instead")
        return Image(own, affine, _sidecar(series.header)), notes
    shape = (*_grid(series), *((len(series.frames),) if len(series.frames) > 1 else ()))
    turned, differs = _turn(made, affine, shape)
    if own is None:
        if differs:
            raise DataError(f"after dcm2niix {differs}", file=where)
        notes.append("no decoder is here to compare its compressed voxels with dcm2niix's")
        return made, notes
    if differs is None and padding is not None:  # which the converter leaves in
        _check(own, where)
        return Image(own, affine, made.sidecar), notes
    differs = differs or _compare(turned, own, is_philips_mri(series.header))
    if differs is None:
        return made, notes
    _check(own, where)
    notes.append(f"after dcm2niix {differs}; read plane by plane with pydicom instead")
    return Image(own, affine, made.sidecar), notes


def _check_levels(series: Series, data: np.ndarray, where: str) -> None:
    """A plane whose scale and values are both far beyond its neighbours' has a wrong scale."""
    volumes = data[..., np.newaxis] if data.ndim == 3 else data
    for t, frame in enumerate(series.frames):
        slopes = np.asarray([p.slope or 1.0 for p in frame.planes])
        if slopes.max() < FAR * slopes.min() or len(slopes) < 2:
            continue
        values = np.abs(volumes[..., t]).max(axis=(0, 1)).astype(np.float64)  # (slices,)
        for k in range(len(slopes)):
            beside = [n for n in (k - 1, k + 1) if 0 <= n < len(slopes)]
            if all(_far(of[k], of[n]) for of in (slopes, values) for n in beside):
                raise DataError(
                    f"the scale of plane {k + 1}, {slopes[k]:g}, takes its values {FAR:g} times "
                    "and more from its neighbours'",
                    file=where,
                )


def _far(one: float, other: float) -> bool:
    return min(one, other) > 0 and max(one, other) > FAR * min(one, other)


def _check(data: np.ndarray, where: str) -> None:
    """Refuse voxels that hold no image, as is done with what dcm2niix made."""
    if data.min() == data.max():
        raise DataError("the image is empty (all voxels have one value)", file=where)
    convert.check_frames(data, where)


def is_philips_mri(header: pydicom.Dataset) -> bool:
    """Whether dcm2niix may give other values, Philips' precise ones: all times one constant."""
    vendor = str(header.get("Manufacturer") or "").lower()
    return header.get("Modality") == "MR" and vendor.startswith("philips")


def _stored(plane: Plane) -> np.ndarray | None:
    """Stored values (rows, columns) of a plane; None where they cannot be decoded here."""
    pixels = plane.pixels
    shape = (pixels.rows, pixels.columns)
    if pixels.dtype is not None:
        return np.frombuffer(bytes_of(pixels, plane.index), pixels.dtype).reshape(shape)
    decoded = _decoded(pixels)
    return None if decoded is None else decoded[plane.index]


def _decoded(pixels: Pixels) -> np.ndarray | None:
    """(planes, rows, columns) of a compressed file; None where no decoder is installed for it."""
    cached = _LAST.get(pixels)
    if cached is not None:
        return cached
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pydicom.dcmread(pixels.file).pixel_array
    # No decoder, or a header or stream that pydicom cannot make pixels of; dcm2niix has to tell.
    except MemoryError:
        raise
    except Exception:
        return None
    shape = (pixels.planes, pixels.rows, pixels.columns)
    if found.size != np.prod(shape):
        return None
    _LAST.clear()  # one file at a time: planes come file by file
    _LAST[pixels] = found.reshape(shape)
    return _LAST[pixels]


_LAST: dict[Pixels, np.ndarray] = {}


def _padding(series: Series, frames: list[list[np.ndarray]]) -> np.ndarray | None:
    """Voxels (columns, rows, slices[, frames]) of padding; None where there is none.

    Their stored values, which may exceed the bits that are stored, become 0.
    """
    padded = np.zeros((len(frames), *_grid(series)[::-1]), bool)
    for t, (frame, arrays) in enumerate(zip(series.frames, frames, strict=True)):
        for k, plane in enumerate(frame.planes):
            if plane.pixels.padding is not None:
                low, high = plane.pixels.padding
                padded[t, k] = (arrays[k] >= low) & (arrays[k] <= high)
                arrays[k] = np.where(padded[t, k], 0, arrays[k]).astype(arrays[k].dtype)
    if not padded.any() or padded.all():
        return None
    voxels = padded.transpose(3, 2, 1, 0)
    return voxels[..., 0] if len(series.frames) == 1 else voxels


def _blank(data: np.ndarray, padding: np.ndarray) -> str:
    """Take the signal out of padding: 0, or the least other value where all are greater."""
    others = data[~padding]
    data[padding] = np.clip(0, others.min(), others.max())
    return f"{int(padding.sum())} voxels of padding (PixelPaddingValue) were made blank"


def _mask(series: Series, frames: list[list[np.ndarray]], where: str) -> list[str]:
    """Cut values to the bits that the headers say are stored, and count those that had more.

    More are overlays of old scanners, padding, or damage; dcm2niix cuts them likewise.

    Raises
    ------
    DataError
        Where so many have more that the headers must be wrong.
    """
    count = 0
    for frame, arrays in zip(series.frames, frames, strict=True):
        for k, plane in enumerate(frame.planes):
            low, high = plane.pixels.lowest, plane.pixels.highest
            if low is None or (int(arrays[k].min()) >= low and int(arrays[k].max()) <= high):
                continue
            count += int(((arrays[k] < low) | (arrays[k] > high)).sum())
            values = arrays[k].astype(np.int64) & (high - low)
            arrays[k] = np.where(values > high, values - (high - low + 1), values).astype(
                arrays[k].dtype
            )
    if count > MANY * sum(array.size for arrays in frames for array in arrays):
        bits, high = (series.header.get(key) for key in ("BitsStored", "HighBit"))
        shifted = None not in (bits, high) and high != bits - 1
        which = f": {bits} bits that end at bit {high} (HighBit)" if shifted else ""
        raise DataError(
            f"{count} values exceed the bits that its headers say are stored{which}",
            file=where,
            hint="the headers are wrong, or the values are shifted; export it again from its "
            "scanner or archive",
        )
    return [f"{count} values exceed the bits that its headers say are stored"] if count else []


def _assemble(series: Series, frames: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Voxels (columns, rows, slices[, frames]) in the headers' units.

    Integers of 16 bits at most stay what they are where no plane has a scale; all else is float32.
    """
    planes = [plane for frame in series.frames for plane in frame.planes]
    plain = all((p.slope or 1.0) == 1.0 and not p.intercept for p in planes)
    kinds = {array.dtype for frame in frames for array in frame}
    (kind,) = kinds if len(kinds) == 1 else (np.dtype(np.float32),)
    keep = plain and kind.kind in "iu" and kind.itemsize <= 2
    dtype = kind.newbyteorder("=") if keep else np.dtype(np.float32)
    shape = (len(series.frames), *_grid(series)[::-1])
    out = np.empty(shape, dtype)
    for t, (frame, arrays) in enumerate(zip(series.frames, frames, strict=True)):
        for k, (plane, stored) in enumerate(zip(frame.planes, arrays, strict=True)):
            if plain:
                out[t, k] = stored
                continue
            # In double precision: a slope of 1e-9 or a stored value of 32 bits loses nothing.
            scaled = stored.astype(np.float64) * (1.0 if plane.slope is None else plane.slope)
            with np.errstate(over="ignore"):
                out[t, k] = scaled + (plane.intercept or 0.0)
    voxels = out.transpose(3, 2, 1, 0)
    return voxels[..., 0] if len(series.frames) == 1 else voxels


def _grid(series: Series) -> tuple[int, int, int]:
    """Columns, rows and slices."""
    planes = series.frames[0].planes
    return planes[0].pixels.columns, planes[0].pixels.rows, len(planes)


def _affine(series: Series) -> np.ndarray:
    """(4, 4) from (column, row, slice) to RAS mm.

    Source: DICOM PS3.3, C.7.6.2.1.1 (Image Position and Orientation); slices from the first and
    last plane, so that rounding of positions does not add up.
    """
    planes = series.frames[0].planes
    first, last = (np.asarray(planes[k].position) for k in (0, -1))
    across, down = np.asarray(planes[0].orientation).reshape(2, 3)
    spacing = planes[0].spacing
    if len(planes) > 1:
        step = (last - first) / (len(planes) - 1)
    else:
        step = np.cross(across, down) * float(series.header.get("SliceThickness") or 1.0)
    affine = np.eye(4)
    affine[:3] = np.stack([across * spacing[1], down * spacing[0], step, first], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _turn(
    made: Image, affine: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, None] | tuple[None, str]:
    """The converter's voxels on the headers' grid; or None and how the two grids differ."""
    between = np.linalg.solve(made.affine, affine)  # the headers' voxels to the converter's
    steps = np.rint(between[:3, :3]).astype(int)
    moved = np.abs(between[:3, :3] - steps) @ (np.asarray(shape[:3]) - 1)
    one_to_one = (np.abs(steps).sum(axis=0) == 1).all() and (np.abs(steps).sum(axis=1) == 1).all()
    if not one_to_one or moved.max() > PLACE_TOLERANCE:
        return None, "its voxels have other sizes or directions than its headers state"
    source = np.abs(steps).argmax(axis=0)  # axis of the converter along each of the headers'
    signs = steps[source, range(3)]
    data = np.moveaxis(made.data, source, range(3))
    if data.shape != shape:
        return None, f"it is {_size(made.data.shape)} voxels, of {_size(shape)}"
    begins = np.where(signs > 0, 0, np.asarray(shape[:3]) - 1)
    if np.abs(between[source, 3] - begins).max() > PLACE_TOLERANCE:
        return None, "its slices do not lie where its headers say"
    return data[tuple(slice(None, None, int(sign)) for sign in signs)], None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _compare(made: np.ndarray, own: np.ndarray, up_to_a_constant: bool) -> str | None:
    """How the converter's voxels differ from the headers' values; None where they do not."""
    made, own = (d[..., np.newaxis] if d.ndim == 3 else d for d in (made, own))
    constant = 1.0
    if up_to_a_constant:
        total = float(own.sum(dtype=np.float64))
        constant = float(made.sum(dtype=np.float64)) / total if total else 1.0
    for t in range(own.shape[3]):
        if made.dtype == own.dtype and np.array_equal(made[..., t], own[..., t]):
            continue
        theirs, ours = (d[..., t].astype(np.float32) for d in (made, own))
        ours *= np.float32(constant)
        largest = np.abs(ours).max(axis=(0, 1))  # (slices,)
        wrong = ~(np.abs(theirs - ours).max(axis=(0, 1)) <= VALUE_TOLERANCE * largest)
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            where = f"plane {k + 1}" + (f" of frame {t + 1}" if own.shape[3] > 1 else "")
            return (
                f"{where} does not hold its header's values (sum "
                f"{theirs[..., k].sum(dtype=np.float64):.6g} instead of "
                f"{ours[..., k].sum(dtype=np.float64):.6g})"
            )
    return None


def _sidecar(header: pydicom.Dataset) -> dict[str, object]:
    """The sidecar's most needed keys, for where dcm2niix wrote none."""
    told: dict[str, object] = {
        "Modality": header.get("Modality"),
        "Manufacturer": header.get("Manufacturer"),
        "ManufacturersModelName": header.get("ManufacturerModelName"),
        "SeriesDescription": header.get("SeriesDescription"),
        "MagneticFieldStrength": _scaled(header.get("MagneticFieldStrength"), 1),
        "EchoTime": _scaled(header.get("EchoTime"), 1e-3),
        "RepetitionTime": _scaled(header.get("RepetitionTime"), 1e-3),
        "InversionTime": _scaled(header.get("InversionTime"), 1e-3),
        "FlipAngle": _scaled(header.get("FlipAngle"), 1),
    }
    if header.get("Modality") == "PT":
        told["Units"] = "Bq/mL"
        for drug in header.get("RadiopharmaceuticalInformationSequence") or ():
            dose = _scaled(drug.get("RadionuclideTotalDose"), 1e-6)
            if dose:
                told |= {"InjectedRadioactivity": dose, "InjectedRadioactivityUnits": "MBq"}
            for code in drug.get("RadionuclideCodeSequence") or ():
                told["TracerRadionuclide"] = str(code.get("CodeMeaning") or "")
    return {
        key: value if isinstance(value, float) else str(value)
        for key, value in told.items()
        if value not in (None, "")
    }


def _scaled(value: object, factor: float) -> float | None:
    try:
        return round(float(value) * factor, 9)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
