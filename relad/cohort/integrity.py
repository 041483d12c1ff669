"""Whether a scan's files are those its source meant, and whether its voxels look like a scan's.

What a NIfTI proves of itself is checked where it is read (:mod:`relad.imaging.nifti`), what files
prove by a manifest of checksums here. A flipped bit among the voxels of an uncompressed file proves
nothing; voxels that stand out from all their neighbours and slices
that leave their neighbours' level are therefore remarked upon, not refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from relad.errors import DataError, ReladError, refuse_machine_failure

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
_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256"}


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
                refuse_machine_failure(error, file)
                raise DataError(f"cannot be read ({error.strerror})", file=file.name) from None
            if found != stated:
                raise DataError(f"differs from its checksum in {self.file.name}", file=file.name)
        return f"{missing} files without a checksum in {self.file.name}" if missing else None


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
        same = next((n for n in range(number - 1) if _same(volumes[..., n], volume)), None)
        if same is not None:
            found.append(f"frame {number} holds the same values as frame {same + 1}")
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
            for k in _repeated(volume, axis, level):
                found.append(f"slice {k + 2} along {name}{of_frame} repeats the one before it")
            if level.size < 3:
                continue
            jump = np.abs(level[1:-1] - (level[:-2] + level[2:]) / 2) / np.abs(level).max()
            if jump.max() > SLICE_JUMP:
                found.append(
                    f"slice {int(jump.argmax()) + 2} of {level.size} along {name}{of_frame} "
                    "leaves its neighbours' level"
                )
    return found


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two frames are one; their middle voxels tell most apart at no cost."""
    middle = tuple(n // 2 for n in one.shape[:2])
    return np.array_equal(one[middle], other[middle]) and np.array_equal(one, other)


def _repeated(volume: np.ndarray, axis: int, level: np.ndarray) -> list[int]:
    """Slices that the next one repeats; blank ones may."""
    slices = np.moveaxis(volume, axis, 0)
    near = np.flatnonzero(level[1:] == level[:-1])
    return [
        int(k)
        for k in near
        if slices[k].min() < slices[k].max() and np.array_equal(slices[k], slices[k + 1])
    ]


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
