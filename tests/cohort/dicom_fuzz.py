"""150 DICOM series with one fuzzed header each, through ``relad ingest``.

    python -m tests.cohort.dicom_fuzz > docs/ingest_fuzz.md

Classic and enhanced MRI and PET, and compressed MRI, of a smooth bright body. One element of one
file, picked with a fixed seed from all that its header holds (nested ones too), is deleted,
emptied, given another type or an absurd value, or written twice; or the elements are put in
another order; or its pixels are cut. Right is: dropped with a reason, or kept with the voxels,
geometry and frame times of the series before it was fuzzed, or with a note.
"""

from __future__ import annotations

import contextlib
import io
import struct
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.uid import RLELossless

from relad.fileio import read_json, read_table
from relad.steps.ingest import ingest
from tests.cohort.mutations import SETTINGS, SIZE, blob, write_image
from tests.helpers.loni import SLICES, csv_row, write_csv, write_enhanced_pet

KINDS = ("dicom_mri", "dicom_pet", "enhanced_mri", "enhanced_pet", "compressed_mri")
DAMAGE = ("deleted", "emptied", "type", "absurd", "duplicated", "reordered", "truncated")
SEED, COUNT, PER_PERSON = 13, 150, 15
_PIXELS = pydicom.tag.Tag(0x7FE0, 0x0010)

#: Values that no scan of a head has, by value representation.
ABSURD: dict[str, list[Any]] = {
    "DS": ["1e30", "-1", "0", "-1e9"],
    "FD": [1e300, float("nan"), -1.0],
    "IS": ["2147483647", "-1", "0"],
    "US": [65535, 0],
    "UL": [4294967295, 0],
    "SS": [-32768],
    "CS": ["ABSURD"],
    "LO": ["?" * 64],
    "SH": ["?" * 16],
    "PN": ["^^^"],
    "UI": ["9.9.9.9"],
    "DA": ["99999999", "00000000"],
    "TM": ["999999", "000000"],
    "DT": ["99999999999999", "00010101000000"],
}
#: What an element of a type is written as instead.
OTHER_TYPE = {"DS": ("LO", "abc"), "IS": ("LO", "abc"), "US": ("LO", "abc"), "FD": ("CS", "X")}


@dataclass(frozen=True)
class Fuzzed:
    """One series and what was done to one of its files."""

    image: int
    ptid: str
    kind: str
    damage: str
    element: str


@dataclass(frozen=True)
class Result:
    fuzzed: Fuzzed
    outcome: str
    said: str


def _write(kind: str, root: Path, ptid: str, image: int) -> list[Path]:
    """Write one intact series of a smooth body."""
    if kind == "enhanced_pet":
        file = write_enhanced_pet(root, ptid, image, "AV1451")
        data = pydicom.dcmread(file)
        data.Rows = data.Columns = SIZE
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = b"".join(blob(image, frame).tobytes() for frame in range(2))
        data.save_as(file)
        return [file]
    if kind != "compressed_mri":
        return write_image(kind, root, ptid, image)
    files = write_image("dicom_mri", root, ptid, image)
    for file in files:
        data = pydicom.dcmread(file)
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(file)
    return files


def _elements(data: pydicom.Dataset) -> Iterator[tuple[pydicom.Dataset, DataElement]]:
    """Every element below a data set but its pixels, with the data set it stands in.

    Of many planes' groups the first, the middle and the last are looked into.
    """
    for element in data:
        if element.tag == _PIXELS:
            continue
        yield data, element
        if element.VR == "SQ":
            items = list(element.value)
            for k in sorted({0, len(items) // 2, len(items) - 1}) if items else ():
                yield from _elements(items[k])


def _encoded(element: DataElement) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, "iso8859")
    return buffer.getvalue()


def _save(file: Path, data: pydicom.Dataset, parts: list[bytes]) -> None:
    """Write a file of elements in the order given, with the file's own meta information."""
    raw = file.read_bytes()
    (length,) = struct.unpack("<I", raw[140:144])  # of group 2, after the preamble and its tag
    file.write_bytes(raw[: 144 + length] + b"".join(parts))


def fuzz(file: Path, damage: str, rng: np.random.Generator) -> str:
    """Do one thing to one file; returns the name of the element it was done to."""
    if damage == "truncated":
        raw = file.read_bytes()
        file.write_bytes(raw[: len(raw) - int(rng.integers(1, SIZE * SIZE))])
        return "PixelData"
    data = pydicom.dcmread(file)
    pixels = _encoded(data[_PIXELS])
    if damage == "reordered":
        parts = [_encoded(element) for element in data if element.tag != _PIXELS]
        order = rng.permutation(len(parts))
        _save(file, data, [*(parts[k] for k in order), pixels])
        return "all elements"
    every = list(_elements(data))
    if damage == "type":
        every = [(owner, e) for owner, e in every if e.VR in OTHER_TYPE]
    elif damage in ("absurd", "duplicated"):
        every = [(owner, e) for owner, e in every if e.VR in ABSURD]
    owner, element = every[int(rng.integers(len(every)))]
    name = element.keyword
    intact = {id(e): _encoded(e) for e in data if e.tag != _PIXELS}
    before = [intact[id(e)] for e in data if e.tag != _PIXELS]
    if damage == "deleted":
        del owner[element.tag]
    elif damage == "emptied":
        owner[element.tag] = DataElement(element.tag, element.VR, [] if element.VR == "SQ" else "")
    elif damage == "type":
        owner[element.tag] = DataElement(element.tag, *OTHER_TYPE[element.VR])
    else:
        values = ABSURD[element.VR]
        value = values[int(rng.integers(len(values)))]
        count = element.VM if element.VM > 1 else 1
        changed = [value] * count if count > 1 else value
        owner[element.tag] = DataElement(element.tag, element.VR, changed)
    after = [_encoded(e) for e in data if e.tag != _PIXELS]
    if damage == "duplicated":  # once as it was, once absurd, in either order
        twice = []
        for old, new in zip(before, after, strict=True):
            pair = [old] if old == new else [old, new]
            twice += pair if rng.integers(2) else pair[::-1]
        after = twice
    _save(file, data, [*after, pixels])
    return name


def make(root: Path, count: int, seed: int = SEED) -> list[Fuzzed]:
    """Write a download of ``count`` fuzzed series and its collection."""
    rng = np.random.default_rng(seed)
    rows, made = [], []
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        for n in range(count):
            image, ptid = 1000 + n, f"941_S_{1 + n // PER_PERSON:04d}"
            kind = KINDS[n % len(KINDS)]
            damage = DAMAGE[n // len(KINDS) % len(DAMAGE)]
            files = _write(kind, root / "loni", ptid, image)
            element = fuzz(files[int(rng.integers(len(files)))], damage, rng)
            pet = kind.endswith("pet")
            name, modality = ("AV1451", "PET") if pet else ("MPRAGE", "MRI")
            rows.append(csv_row(image, ptid, name, modality, Visit=f"v{n}"))
            made.append(Fuzzed(image, ptid, kind, damage, element))
    write_image("dicom_mri", root / "loni", "941_S_0999", 1)  # there must be something to keep
    rows.append(csv_row(1, "941_S_0999", "MPRAGE"))
    write_csv(root / "collection.csv", rows)
    return made


def _intact(fuzzed: Fuzzed) -> np.ndarray:
    """The series before it was fuzzed, (x, y, z[, t]) in RAS order."""
    if fuzzed.kind.endswith("pet"):
        frames = [blob(fuzzed.image, f) * (0.5 + 0.25 * f) for f in range(2)]
        return np.stack([f.transpose(2, 1, 0)[::-1, ::-1] for f in frames], axis=-1)
    return blob(fuzzed.image).transpose(2, 1, 0)[::-1, ::-1].astype(float)


def _changed(fuzzed: Fuzzed, path: Path) -> str | None:
    """What of an image is not as in the intact series; None where nothing is."""
    image = nib.as_closest_canonical(nib.load(path))
    data, truth = np.asarray(image.dataobj, float), _intact(fuzzed)
    if data.shape != truth.shape:
        return "geometry"
    # The first voxel's centre lies at (0, 0, 0), x runs to the left and y to posterior.
    corner = [-2.0 * (SIZE - 1), -2.5 * (SIZE - 1), 0.0]
    right = np.diag([2, 2.5, 3, 1.0])
    right[:3, 3] = corner
    if not np.allclose(image.affine, right, atol=0.01):
        return "geometry"
    if not np.allclose(data, truth, atol=1e-3):
        return "voxels"
    if fuzzed.kind.endswith("pet"):
        told = read_json(path.with_name(path.name.replace(".nii.gz", ".json")))
        if (told["FrameTimesStart"], told["FrameDuration"]) != ([4800, 5100], [300, 300]):
            return "times"
    return None


def judge(fuzzed: Fuzzed, row: dict[str, str | None], out: Path) -> Result:
    if row["status"] == "dropped":
        return Result(fuzzed, "dropped, with the reason", row["reason"] or "")
    changed = _changed(fuzzed, out / str(row["output"]))
    said = row["note"] or ""
    if changed is None:
        return Result(fuzzed, "kept as it was" + (", with a note" if said else ""), said)
    return Result(fuzzed, f"{changed} changed, " + ("with a note" if said else "UNNOTICED"), said)


def run(root: Path, count: int, seed: int = SEED) -> tuple[list[Result], str]:
    """Outcome of every fuzzed series, and what ingest wrote to standard error."""
    made = make(root, count, seed)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        ingest(root / "loni", root / "bids", SETTINGS)
    rows = {r["image_id"]: r for r in read_table(root / "bids" / "ingest.tsv")}
    return [judge(f, rows[f"I{f.image}"], root / "bids") for f in made], said.getvalue()


PREFACE = f"""# {COUNT} fuzzed DICOM headers through `relad ingest`

SIMULATED DATA: series of a smooth bright body ({SIZE} x {SIZE} x {SLICES} voxels), in turn classic
MRI, classic and enhanced PET of two frames, enhanced MRI, and MRI compressed by RLE. One element of
one file is deleted, emptied, written as another type, given an absurd value, or written twice (once
absurd); or all elements stand in another order; or the pixels are cut. Made by `python -m
tests.cohort.dicom_fuzz`, seed {SEED}; tests/cohort/test_dicom_fuzz.py holds a part of it.

**kept as it was**: voxels, geometry and frame times equal those of the series before. Nothing was
kept changed without a note, and no run ended in a traceback.

"""


def table(results: list[Result]) -> str:
    outcomes = sorted({r.outcome for r in results})
    text = ["| damage | " + " | ".join(outcomes) + " |", "|---|" + "---:|" * len(outcomes)]
    for name in (*DAMAGE, *KINDS, "all"):
        mine = [r for r in results if name in (r.fuzzed.damage, r.fuzzed.kind, "all")]
        counts = Counter(r.outcome for r in mine)
        title = name.replace("_", " ").replace("dicom", "classic")
        cells = " | ".join(str(counts[o]) for o in outcomes)
        text.append(f"| {title} | {cells} |")
    return "\n".join(text) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        results, _ = run(Path(scratch), COUNT)
    print(PREFACE + table(results).rstrip())


if __name__ == "__main__":
    main()
