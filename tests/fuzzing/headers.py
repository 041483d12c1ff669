"""NIfTI files whose header is altered at random: refused, read unharmed, or believed.

Every image states its place twice (qform and sform) and its size three times (dim, bitpix, length),
so that most alterations contradict something. Where nothing does, the header is taken at its word;
those fields are listed here, and no others may change what is read.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.errors import DataError
from relad.imaging.nifti import load_nifti

SHAPE = (12, 11, 10)
#: Fields of which a file says nothing a second time.
BELIEVED = ("scl_slope", "scl_inter", "datatype")
#: Fields from which anything is read, by what they tell; half of all alterations are of these.
READ = {
    "what file it is": ("sizeof_hdr", "magic", "vox_offset", "intent_code"),
    "number and type of voxels": ("dim", "datatype", "bitpix"),
    "scale of values": ("scl_slope", "scl_inter"),
    "size of voxels": ("pixdim", "xyzt_units"),
    "place (qform)": ("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
                      "qoffset_y", "qoffset_z"),
    "place (sform)": ("sform_code", "srow_x", "srow_y", "srow_z"),
}  # fmt: skip
#: Values that header fields had in public reports of damage.
_ODD = (0, 1, -1, 2, 3, 4, 5, 7, 255, 1e-30, 1e30, np.nan, np.inf, -np.inf, 0.5, 1000)


@dataclass(frozen=True)
class Result:
    """One altered file: which field, how, and what became of it."""

    field: str
    outcome: str
    said: str

    @property
    def about(self) -> str:
        """What the field tells."""
        return next((about for about, names in READ.items() if self.field in names), "all else")

    @property
    def fine(self) -> bool:
        """Whether it is as it must be."""
        return self.outcome in ("refused, with the reason", "read unharmed", "believed")


def write_image(file: Path, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An oblique image with both forms; its values (float32) and affine."""
    turn = nib.eulerangles.euler2mat(*rng.uniform(-0.3, 0.3, 3))
    affine = nib.affines.from_matvec(turn @ np.diag([-1.0, 1.2, 2.0]), rng.uniform(-90, 90, 3))
    data = rng.integers(0, 3000, SHAPE, dtype=np.int16)
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    raw = bytearray(image.to_bytes())
    file.write_bytes(gzip.compress(raw, 1, mtime=0) if file.suffix == ".gz" else raw)
    return data.astype(np.float32), image.affine


def alter(raw: bytearray, rng: np.random.Generator) -> str:
    """Alter one field of a header, or one bit; return the field's name."""
    kind = nib.Nifti1Header.template_dtype
    names = list(kind.names)
    if rng.random() < 0.4:
        at = int(rng.integers(kind.itemsize))
        raw[at] ^= 1 << int(rng.integers(8))
        return next(n for n in reversed(names) if kind.fields[n][1] <= at)
    if rng.random() < 0.8:
        names = [name for group in READ.values() for name in group]
    name = names[int(rng.integers(len(names)))]
    header = np.frombuffer(bytes(raw[: kind.itemsize]), kind).copy()
    field = header[name]
    if field.dtype.kind == "S":
        field[...] = rng.bytes(field.dtype.itemsize)
    else:
        value = _ODD[int(rng.integers(len(_ODD)))]
        index = tuple(int(rng.integers(n)) for n in field.shape)
        with np.errstate(all="ignore"):
            field[index] = np.array(value).astype(field.dtype)
    raw[: kind.itemsize] = header.tobytes()
    return name


def judge(file: Path, field: str, data: np.ndarray, affine: np.ndarray) -> Result:
    """Read an altered file and say what became of it; the first two arrays are the intact ones."""
    try:
        image = load_nifti(file, ndim=3)
    except DataError as error:
        named = str(error).startswith(str(file)) and "\n" not in str(error)
        return Result(field, "refused, with the reason" if named else "refused badly", error.what)
    except Exception as error:
        return Result(field, "TRACEBACK", repr(error))
    corners = np.array([[*c, 1] for c in product(*[(0, n - 1) for n in SHAPE])]).T
    if (
        image.shape != SHAPE
        or np.linalg.norm((image.affine - affine) @ corners, axis=0).max() > 0.5
    ):
        return Result(field, "SILENT CHANGE of place or size", str(image.affine.round(3).tolist()))
    if np.array_equal(np.asarray(image.dataobj), data):
        return Result(field, "read unharmed", "")
    told = nib.load(file).get_fdata(dtype=np.float32)
    believed = field in BELIEVED and np.allclose(np.asarray(image.dataobj), told, rtol=1e-5)
    return Result(field, "believed" if believed else "SILENT CHANGE of values", "")


def run(folder: Path, count: int, seed: int = 0) -> Iterator[Result]:
    """Alter ``count`` files, one at a time, in a folder."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        file = folder / ("a.nii.gz" if number % 2 else "a.nii")
        data, affine = write_image(file, rng)
        packed = file.suffix == ".gz"
        raw = bytearray(gzip.decompress(file.read_bytes()) if packed else file.read_bytes())
        field = alter(raw, rng)
        file.write_bytes(gzip.compress(bytes(raw), 1, mtime=0) if packed else bytes(raw))
        yield judge(file, field, data, affine)
