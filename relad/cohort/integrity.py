"""Whether a scan's file is whole, and whether its voxels look like a scan's.

What a file can prove is checked here: its checksums (gzip's own, or a manifest the user has), its
size against its header, its orientation codes against each other. A flipped bit among the voxels
of an uncompressed file proves nothing; voxels that stand out from all their neighbours and slices
that leave their neighbours' level are therefore remarked upon, not refused.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from relad.errors import DataError, ReladError

#: Voxel edges (mm) of any brain scan lie between these.
VOXEL_MM = (0.1, 25.0)
#: A scan's greatest extent (mm); units other than mm show by it.
EXTENT_MM = 2500.0
#: A voxel further than this share of the image's range from the values of its 26 neighbours stands
#: out. In real FLAIR of 3 mm slices the greatest such distance is 0.48 of the range.
SPIKE = 0.6
#: A slice whose mean is further from its neighbours' than this share of the greatest slice mean
#: stands out; in real scans the greatest such distance is 0.05.
SLICE_JUMP = 0.2
#: So many touching voxels that hold the image's least value, between neighbours on both sides that
#: are brighter by HOLE of its range, are a hole. In real scans with a blank background, where more
#: than BLANK of the voxels hold that value, they must stand in one row; the longest has 12.
HOLE_SIZE, HOLE, HOLE_IN_NOISE, BLANK = 24, 0.15, 0.01, 0.1
#: Largest difference of voxel edges or directions between qform and sform, as share of an edge.
_FORM_TOLERANCE = 0.05
_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Checksums:
    """A manifest of checksums as ``sha256sum`` or ``md5sum`` print it.

    Attributes
    ----------
    digests
        Resolved path -> digest (hexadecimal).
    file
        The manifest.
    """

    digests: dict[Path, str]
    file: Path

    @classmethod
    def read(cls, file: Path, source: Path) -> Checksums:
        """Read a manifest; its paths are relative to ``source`` or to its own folder.

        Raises
        ------
        ReladError
            Where it cannot be read or a line is no checksum.
        """
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ReladError(f"cannot be read ({error})", file=file) from None
        digests = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            match = re.fullmatch(r"([0-9A-Fa-f]+)\s+\*?(.+)", line.strip())
            if not match or len(match[1]) not in _LENGTHS:
                raise ReladError(
                    f"line {number} is not a checksum and a path",
                    file=file,
                    hint="make it with: sha256sum $(find . -type f) > sha256sums.txt",
                )
            near = [base / match[2] for base in (source, file.parent)]
            path = next((p for p in near if p.exists()), near[0])
            digests[path.resolve()] = match[1].lower()
        return cls(digests, file)

    def check(self, files: Iterable[Path]) -> str | None:
        """Compare files with the manifest; a note where it does not list one of them.

        Raises
        ------
        DataError
            Where a file differs from its checksum or cannot be read.
        """
        missing = 0
        for file in files:
            stated = self.digests.get(file.resolve())
            if stated is None:
                missing += 1
                continue
            try:
                with file.open("rb") as stream:
                    found = hashlib.file_digest(stream, _LENGTHS[len(stated)]).hexdigest()
            except OSError as error:
                raise DataError(f"cannot be read ({error.strerror})", file=file.name) from None
            if found != stated:
                raise DataError(f"differs from its checksum in {self.file.name}", file=file.name)
        return f"{missing} files without a checksum in {self.file.name}" if missing else None


def check_nifti(path: Path) -> None:
    """Check a NIfTI file's checksum (if packed), size and header before its voxels are believed.

    Raises
    ------
    DataError
        Where the file is damaged or its header contradicts itself; the message is the reason.
    """
    try:
        image = nib.load(path)
        size = _unpacked_size(path)
        with nib.openers.Opener(path) as stream:  # as it stands in the file: loading mends things
            header = type(image.header).from_fileobj(stream, check=False)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"damaged or not readable ({error})", file=path.name) from None
    except Exception as error:  # a damaged header raises nearly every built-in exception
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"its header cannot be read ({said})", file=path.name) from None
    if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is a subclass
        raise DataError("is not a NIfTI file", file=path.name)
    kind = header.get_data_dtype()
    if int(header["bitpix"]) != kind.itemsize * 8:
        raise DataError(
            f"its header states {int(header['bitpix'])} bits for a voxel of type {kind}",
            file=path.name,
        )
    count = int(np.prod([int(n) for n in header.get_data_shape()], dtype=object))
    needed = int(header["vox_offset"]) + count * kind.itemsize
    if size != needed:
        what = "truncated" if size < needed else "longer than its header says"
        raise DataError(f"{what} (holds {size} of {needed} bytes)", file=path.name)
    slope = float(header["scl_slope"])
    if not np.isfinite(slope) and not np.isnan(slope):
        raise DataError("its scale is infinite", file=path.name)
    if int(header["sizeof_hdr"]) not in (348, 540):
        raise DataError(f"its header states a size of {int(header['sizeof_hdr'])}", file=path.name)
    _check_orientation(header, path.name)
    check_grid(image.shape, scanner_affine(image), path.name)


def scanner_affine(image: nib.Nifti1Image) -> np.ndarray:
    """(4, 4) voxel to scanner RAS mm of a loaded image: its sform, but not one to a template."""
    header = image.header
    if int(header["sform_code"]) > 2 and int(header["qform_code"]) > 0:
        return header.get_qform()
    return image.affine


def _unpacked_size(path: Path) -> int:
    """Bytes of a file, unpacked; reading to the end verifies gzip's checksum."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    size = 0
    with gzip.open(path) as stream:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
    return size


def _check_orientation(header: nib.Nifti1Header, where: str) -> None:
    qform_code, sform_code = int(header["qform_code"]), int(header["sform_code"])
    for name, code in (("qform", qform_code), ("sform", sform_code)):
        if not 0 <= code <= 5:
            raise DataError(f"its {name} code is {code}, which is none", file=where)
    if not qform_code and not sform_code:
        raise DataError(
            "states no orientation (qform and sform code are 0)",
            file=where,
            hint="left and right cannot be told; convert it again from its DICOM",
        )
    try:
        forms = [header.get_qform() if qform_code else None]
    except Exception as error:  # quaternions that are none
        raise DataError(f"its qform is no rotation ({error})", file=where) from None
    forms.append(header.get_sform() if sform_code else None)
    stated = [form for form in forms if form is not None]
    for form in stated:
        if not np.isfinite(form).all() or abs(np.linalg.det(form[:3, :3])) < 1e-9:
            raise DataError("its affine is singular", file=where)
    # Realignment turns an sform rigidly; an sform to a template (code 3 and up) is another map.
    # Else the two must agree: with a mirrored or scaled one, nobody knows which side is left.
    if len(stated) == 2 and {qform_code, sform_code} <= {1, 2}:
        between = np.linalg.inv(stated[0][:3, :3]) @ stated[1][:3, :3]
        rigid = np.abs(between.T @ between - np.eye(3)).max() < 2 * _FORM_TOLERANCE
        if qform_code == sform_code:
            q, s = stated
            scale = np.linalg.norm(s[:3, :3], axis=0)
            rigid &= bool(np.abs((q - s)[:3, :3] / scale).max() < _FORM_TOLERANCE)
            rigid &= bool(np.abs((q - s)[:3, 3]).max() < scale.min())
        if not rigid or np.linalg.det(between) < 0:
            raise DataError(
                "its qform and sform contradict each other",
                file=where,
                hint="which one is right only its source can tell; convert it again",
            )
    zooms = np.asarray(header.get_zooms()[:3], float)
    edges = np.linalg.norm((stated[0] if sform_code > 2 else stated[-1])[:3, :3], axis=0)
    if not np.allclose(edges, zooms, rtol=0.01):
        raise DataError(
            f"its voxel sizes {np.round(zooms, 3).tolist()} mm contradict its affine's "
            f"{np.round(edges, 3).tolist()} mm",
            file=where,
        )


def check_grid(shape: tuple[int, ...], affine: np.ndarray, where: str) -> None:
    """Check that a grid (x, y, z, …) with its affine in mm can be a scan's of a head.

    Raises
    ------
    DataError
        Where voxel sizes or extent cannot be.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = VOXEL_MM
    if min(shape[:3]) < 2:
        raise DataError(f"has {' x '.join(map(str, shape))} voxels, which is no volume", file=where)
    if not (np.isfinite(affine).all() and edges.min() >= low and edges.max() <= high):
        raise DataError(f"voxels of {np.round(edges, 4).tolist()} mm cannot be", file=where)
    extent = edges * shape[:3]
    if extent.max() > EXTENT_MM:
        raise DataError(f"an extent of {extent.max():.0f} mm cannot be", file=where)


def remarks(data: np.ndarray) -> list[str]:
    """What stands out in an image's voxels: damage, or something a person should look at.

    Parameters
    ----------
    data
        (x, y, z) or (x, y, z, t) voxels.

    Returns
    -------
    One sentence per finding; empty where there is none.
    """
    found = []
    volumes = data[..., np.newaxis] if data.ndim == 3 else data
    for number, volume in enumerate(np.moveaxis(volumes, -1, 0), start=1):
        of_frame = f" of frame {number}" if data.ndim == 4 else ""
        if volume.min() == volume.max():
            found.append(f"frame {number} of {volumes.shape[-1]} is empty")
            continue
        low, high = np.percentile(volume, (0.1, 99.9))
        if not high > low:
            found.append(f"fewer than one voxel in a thousand{of_frame} holds a signal")
            continue
        spikes = int((_distance_to_neighbours(volume) > SPIKE * (high - low)).sum())
        if spikes:
            found.append(f"{spikes} voxels{of_frame} stand out from all their neighbours")
        hole = _largest_hole(volume, high - low)
        if hole >= HOLE_SIZE:
            found.append(f"{hole} touching voxels{of_frame} are empty between filled ones")
        for axis, name in enumerate("xyz"):
            level = volume.mean(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
            if level.size < 3:
                continue
            jump = np.abs(level[1:-1] - (level[:-2] + level[2:]) / 2) / np.abs(level).max()
            if jump.max() > SLICE_JUMP:
                found.append(
                    f"slice {int(jump.argmax()) + 2} of {level.size} along {name}{of_frame} "
                    "leaves its neighbours' level"
                )
    return found


def _largest_hole(volume: np.ndarray, span: float) -> int:
    """Voxels of the largest hole, as :data:`HOLE_SIZE` says."""
    if (volume == volume.min()).mean() > BLANK:
        return _longest_row(_holes(volume, HOLE * span))
    labels, count = ndimage.label(_holes(volume, HOLE_IN_NOISE * span), np.ones((3, 3, 3)))
    return int(np.bincount(labels.ravel())[1:].max()) if count else 0


def _holes(volume: np.ndarray, brighter: float) -> np.ndarray:
    """Voxels of the least value whose two neighbours along some axis are both brighter."""
    holes = np.zeros(volume.shape, bool)
    empty = volume == volume.min()
    for axis in range(3):
        v, e, h = (np.moveaxis(a, axis, 0) for a in (volume, empty, holes))
        h[1:-1] |= e[1:-1] & (np.minimum(v[:-2], v[2:]) > v.min() + brighter)
    return holes


def _longest_row(mask: np.ndarray) -> int:
    """Length of the longest run of true voxels along any axis."""
    longest = 0
    for axis in range(3):
        run = np.zeros(np.delete(mask.shape, axis), np.int32)
        for plane in np.moveaxis(mask, axis, 0):
            run = (run + 1) * plane
            longest = max(longest, int(run.max()))
    return longest


def _distance_to_neighbours(volume: np.ndarray) -> np.ndarray:
    """Distance of each voxel to the range of its 26 neighbours' values, at least zero."""
    ring = np.ones((3, 3, 3), bool)
    ring[1, 1, 1] = False
    values = volume.astype(np.float32)
    above = values - ndimage.maximum_filter(values, footprint=ring, mode="mirror")
    below = ndimage.minimum_filter(values, footprint=ring, mode="mirror") - values
    return np.maximum(above, below).clip(min=0)
