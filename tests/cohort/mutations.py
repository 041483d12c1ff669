"""500 damaged files through ``relad ingest``: what is noticed, what is not, what else is affected.

    python -m tests.cohort.mutations > docs/ingest_mutations.md

Every image is a smooth blob with noise, as classic DICOM (MRI and PET), enhanced DICOM, ``.nii`` or
``.nii.gz``; one file of each is damaged in one way. Run twice: with the files alone, and with a
manifest of checksums made before the damage.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom

from relad.fileio import read_table
from relad.steps.ingest import ingest
from tests.helpers.loni import SLICES, csv_row, folder, write_csv, write_enhanced_mri, write_mri
from tests.helpers.loni import write_pet as write_pet_series
from tests.helpers.settings import ingest_settings, tracer

SETTINGS = ingest_settings({"tau": tracer("AV1451", aliases=["Flortaucipir"])})
PER_PERSON = 25
SIZE = 32
FORMATS = ("dicom_mri", "dicom_pet", "enhanced_mri", "nii", "nii_gz")


def blob(image: int, frame: int = 0) -> np.ndarray:
    """A smooth bright body with noise, (SLICES, SIZE, SIZE) uint16 below 4096."""
    rng = np.random.default_rng([image, frame])
    z, y, x = np.indices((SLICES, SIZE, SIZE))
    r2 = ((z - 2.5) / 4) ** 2 + ((y - 15) / 11) ** 2 + ((x - 16) / 12) ** 2
    signal = 1500 * np.exp(-(r2**2)) + 250 * np.sin(x / 3.0) * np.exp(-r2)
    return np.clip(signal + rng.normal(30, 15, r2.shape), 0, 4095).astype(np.uint16)


PREFACE = """# 500 damaged files through `relad ingest`

SIMULATED DATA: images of a smooth bright body with noise (32 x 32 x 6 voxels), 100 each as
classic DICOM MRI, classic DICOM PET of two frames, enhanced DICOM MRI, `.nii` and `.nii.gz`. One
file of each image is damaged in one way: bits flipped, cut, appended to, blocks overwritten by
zeros or noise, a header field altered. Two intact images of another subject lie in the same
download; in both runs they are kept with every voxel unharmed. Made by `python -m
tests.cohort.mutations`; tests/cohort/test_mutations.py holds what it shows.

**kept, voxels unharmed**: the damage fell where nothing is read from, such as an unused header
field. **with a note**: the row in ingest.tsv says what to look at. **unnoticed**: a flipped bit
that moves one voxel by less than a spike would, or a short run of zeros in an image's dim part or
outermost slice. An uncompressed file holds nothing by which these could be told from a scan. A
manifest of checksums does (`relad ingest --checksums`), and gzip has one of its own: no packed
image was kept changed.

"""


# --- intact images in five formats --------------------------------------------------------------


def _pixels(image: int) -> Callable[[pydicom.Dataset, int, int], None]:
    def change(data: pydicom.Dataset, k: int, frame: int) -> None:
        data.Rows = data.Columns = SIZE
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = blob(image, frame)[k].tobytes()

    return change


def write_image(kind: str, root: Path, ptid: str, image: int) -> list[Path]:
    """Write one intact image; returns its files."""
    if kind == "dicom_mri":
        return write_mri(root, ptid, image, "MPRAGE", change=_pixels(image))
    if kind == "dicom_pet":
        return write_pet_series(root, ptid, image, "AV1451", frames=2, change=_pixels(image))
    if kind == "enhanced_mri":
        file = write_enhanced_mri(root, ptid, image, "MPRAGE")
        data = pydicom.dcmread(file)
        data.Rows = data.Columns = SIZE
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = blob(image).tobytes()
        data.save_as(file)
        return [file]
    suffix = ".nii" if kind == "nii" else ".nii.gz"
    file = folder(root, ptid, "MPRAGE", f"I{image}") / f"a_I{image}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    made = nib.Nifti1Image(blob(image).transpose(2, 1, 0).astype(np.int16), np.diag([2, 2.5, 3, 1]))
    made.set_qform(made.affine, 1)
    made.set_sform(made.affine, 1)
    nib.save(made, file)
    return [file]


# --- damage -------------------------------------------------------------------------------------


def flip_bit(raw: bytearray, rng: np.random.Generator) -> None:
    raw[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))


def flip_many(raw: bytearray, rng: np.random.Generator) -> None:
    for _ in range(16):
        flip_bit(raw, rng)


def cut(raw: bytearray, rng: np.random.Generator) -> None:
    del raw[int(rng.integers(len(raw))) :]


def append(raw: bytearray, rng: np.random.Generator) -> None:
    raw += rng.bytes(int(rng.integers(1, 600)))


def zero_block(raw: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(raw)))
    end = min(len(raw), start + int(rng.integers(64, 513)))
    raw[start:end] = bytes(end - start)


def noise_block(raw: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(raw)))
    end = min(len(raw), start + int(rng.integers(64, 513)))
    raw[start:end] = rng.bytes(end - start)


def empty(raw: bytearray, rng: np.random.Generator) -> None:
    raw.clear()


def zero_pixels(raw: bytearray, rng: np.random.Generator) -> None:
    """All of the file from a fifth on: a download whose end was allocated and never written."""
    start = len(raw) // 5
    raw[start:] = bytes(len(raw) - start)


BYTES = (flip_bit, flip_many, cut, append, zero_block, noise_block, empty, zero_pixels)

DICOM_FIELDS = {
    "Rows": 31,
    "Columns": 64,
    "PixelSpacing": [1.0, 9.0],
    "ImagePositionPatient": [0, 40.0, 3.0],
    "ImageOrientationPatient": [0, 1, 0, 1, 0, 0],
    "BitsAllocated": 8,
    "PixelRepresentation": 1,
    "RescaleSlope": 40.0,
    "Modality": "CT",
    "PatientID": "941_S_9999",
    "SeriesInstanceUID": "1.2.3.4.5",
    "NumberOfFrames": 3,
    "SamplesPerPixel": 3,
    "Units": "CNTS",
    "AcquisitionTime": "235959",
    "PhotometricInterpretation": "RGB",
}
NIFTI_FIELDS = {
    "sizeof_hdr": 349,
    "dim": [3, 16, 32, 6, 1, 1, 1, 1],
    "datatype": 16,
    "bitpix": 8,
    "vox_offset": 368,
    "pixdim": [1, 7, 2.5, 3, 1, 1, 1, 1],
    "qform_code": 77,
    "quatern_b": 0.7,
    "qoffset_x": 500.0,
    "srow_x": [0, 2, 0, 0],
    "magic": b"n+7",
    "scl_slope": np.inf,
}


def change_field(file: Path, rng: np.random.Generator) -> str:
    """Alter one header field; returns its name."""
    if file.suffix == ".dcm":
        data = pydicom.dcmread(file)
        names = [name for name in DICOM_FIELDS if name in data]
        name = str(rng.choice(names))
        with pydicom.config.disable_value_validation():
            setattr(data, name, DICOM_FIELDS[name])
            data.save_as(file, enforce_file_format=False)
        return name
    with nib.openers.Opener(file) as stream:
        raw = stream.read()
    header = nib.Nifti1Header(raw[:348], check=False)
    name = str(rng.choice(list(NIFTI_FIELDS)))
    header[name] = NIFTI_FIELDS[name]
    with nib.openers.Opener(file, "wb") as stream:
        stream.write(header.binaryblock + raw[348:])
    return name


# --- one download of damaged images -------------------------------------------------------------


@dataclass(frozen=True)
class Mutation:
    """One image of which one file was damaged."""

    image: int
    ptid: str
    format: str
    damage: str


@dataclass(frozen=True)
class Result:
    """What became of it; ``change`` is the greatest one of a voxel, in units of the range."""

    mutation: Mutation
    outcome: str
    reason: str
    change: float
    share: float


def make_download(root: Path, count: int, seed: int = 0) -> tuple[list[Mutation], Path, Path]:
    """Write ``count`` damaged images, and one intact subject beside them.

    Returns
    -------
    The mutations, the tree, and the manifest of checksums made before the damage.
    """
    rng = np.random.default_rng(seed)
    loni, rows, mutations, sums = root / "loni", [], [], []
    for k in range(count):
        image, ptid = 1000 + k, f"941_S_{1 + k // PER_PERSON:04d}"
        kind = FORMATS[k % len(FORMATS)]
        files = write_image(kind, loni, ptid, image)
        sums += [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f}" for f in files]
        modality, description = ("PET", "AV1451") if kind == "dicom_pet" else ("MRI", "MPRAGE")
        rows.append(csv_row(image, ptid, description, modality, Visit=f"v{k}"))
        file = files[int(rng.integers(len(files)))]
        which = int(rng.integers(len(BYTES) + 4))
        if which < len(BYTES):
            raw = bytearray(file.read_bytes())
            BYTES[which](raw, rng)
            file.write_bytes(raw)
            damage = BYTES[which].__name__
        else:
            damage = f"header: {change_field(file, rng)}"
        mutations.append(Mutation(image, ptid, kind, damage))
    for image, kind in ((1, "dicom_mri"), (2, "dicom_pet")):
        write_image(kind, loni, "941_S_0999", image)
    rows += [csv_row(1, "941_S_0999", "MPRAGE"), csv_row(2, "941_S_0999", "AV1451", "PET")]
    write_csv(root / "collection.csv", rows)
    manifest = root / "sha256sums.txt"
    manifest.write_text("\n".join(sums) + "\n", encoding="utf-8")
    return mutations, loni, manifest


def _intact(mutation: Mutation) -> np.ndarray:
    """The undamaged image as (x, y, z) or (x, y, z, t) in RAS order."""
    if mutation.format == "dicom_pet":
        frames = [blob(mutation.image, f) * (0.5 + 0.25 * f) for f in range(2)]
        return np.stack([f.transpose(2, 1, 0)[::-1, ::-1] for f in frames], axis=-1)
    data = blob(mutation.image).transpose(2, 1, 0).astype(float)
    return data if mutation.format.startswith("nii") else data[::-1, ::-1]


def judge(mutation: Mutation, row: dict[str, str | None], out: Path) -> Result:
    """Compare what was kept of a damaged image with the undamaged one."""
    if row["status"] == "dropped":
        return Result(mutation, "dropped, with the reason", row["reason"] or "", 0.0, 0.0)
    truth = _intact(mutation)
    image = nib.as_closest_canonical(nib.load(out / row["output"]))
    data = np.asarray(image.dataobj, float)
    reason = row["note"] or ""
    if data.shape != truth.shape or not np.allclose(np.diag(image.affine)[:3], [2, 2.5, 3]):
        outcome = "kept, geometry changed" + (", with a note" if reason else "")
        return Result(mutation, outcome, reason, np.nan, np.nan)
    difference = np.abs(data - truth) / np.ptp(truth)
    changed = difference > 1e-6
    if not changed.any():
        return Result(mutation, "kept, voxels unharmed", reason, 0.0, 0.0)
    outcome = "kept, voxels changed" + (", with a note" if reason else ", unnoticed")
    return Result(mutation, outcome, reason, float(difference.max()), float(changed.mean()))


def run(root: Path, count: int, *, checksums: bool, jobs: int = 1) -> list[Result]:
    """Make a download, ingest it, judge every image; the intact subject must be whole."""
    mutations, loni, manifest = make_download(root, count)
    out = root / "bids"
    ingest(loni, out, SETTINGS, checksums=manifest if checksums else None, jobs=jobs)
    rows = {r["image_id"]: r for r in read_table(out / "ingest.tsv") if r["n_files"] != "0"}
    for image in (1, 2):
        bystander = Mutation(image, "941_S_0999", "dicom_mri" if image == 1 else "dicom_pet", "")
        assert judge(bystander, rows[f"I{image}"], out).outcome == "kept, voxels unharmed"
    return [judge(m, rows[f"I{m.image}"], out) for m in mutations]


def table(results: dict[str, list[Result]]) -> str:
    """Markdown: damage by outcome, files alone and with checksums."""
    text = []
    for title, found in results.items():
        outcomes = sorted({r.outcome for r in found})
        kinds = sorted({r.mutation.damage.partition(":")[0] for r in found})
        text += [f"### {title} ({len(found)} images)", ""]
        text += ["| damage | " + " | ".join(outcomes) + " |", "|---|" + "---:|" * len(outcomes)]
        for kind in [*kinds, "all"]:
            mine = [r for r in found if kind in ("all", r.mutation.damage.partition(":")[0])]
            counts = Counter(r.outcome for r in mine)
            cells = " | ".join(str(counts[o]) for o in outcomes)
            text.append(f"| {kind.replace('_', ' ')} | {cells} |")
        silent = [r for r in found if r.outcome.endswith("unnoticed")]
        if silent:
            text += [
                "",
                f"Unnoticed: at most {max(r.share for r in silent):.1%} of an image's voxels, by "
                f"at most {max(r.change for r in silent):.2f} of its range (median of the greatest "
                f"change {np.median([r.change for r in silent]):.3f}).",
            ]
        text.append("")
    return "\n".join(text)


def main() -> None:
    results = {}
    for title, checksums in (("Files alone", False), ("With a manifest of checksums", True)):
        with tempfile.TemporaryDirectory() as scratch:
            results[title] = run(Path(scratch), 500, checksums=checksums, jobs=2)
    print(PREFACE + table(results).rstrip())


if __name__ == "__main__":
    main()
