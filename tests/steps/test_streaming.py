"""Packing and evaluation take no more memory for more people."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from relad.data.dataset import PackedDataset
from relad.fileio import write_json, write_text
from relad.imaging import atlas
from relad.imaging.nifti import save_nifti
from relad.results.records import read_synthesis
from relad.status import ScanStatus, State, SubjectStatus
from relad.steps.evaluate import evaluate
from relad.study import paths
from tests.helpers.fake_study import FakeStudy
from tests.helpers.settings import file_of, study
from tests.helpers.settings import tracer as tracer_entry

SHAPE, VOXEL_MM = (32, 40, 32), 6.0
FEW, MANY = 3, 39
#: MB by which the peak may differ. What 36 people more hold is twice as much at least.
NOISE = 8.0
#: Not `ru_maxrss`, which begins with the memory of the process that started this one.
PEAK = """
import sys
from relad.cli import main
code = main(sys.argv[1:])
print(open("/proc/self/status").read())
sys.exit(code)
"""


def peak_mb(*words: object) -> float:
    """MB that a command of relad has in memory at most, mapped files included."""
    command = [sys.executable, "-c", PEAK, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    return int(kilobytes) / 1024


def normalized(root: Path, people: int) -> list[Path]:
    """Folders of `relad normalize` and a folder of `relad qc` on them."""
    affine = atlas.grid_affine(SHAPE, VOXEL_MM)
    random = np.random.default_rng(0)
    brain = np.zeros(SHAPE, bool)
    brain[4:-4, 4:-4, 4:-4] = True
    judged, folders = [], []
    for label in (f"S{i:03d}" for i in range(people)):
        folder = root / f"sub-{label}"
        folder.mkdir(parents=True)
        status = SubjectStatus(
            label,
            session="bl",
            mri={name: ScanStatus(State.OK, simulated=True) for name in ("T1w", "FLAIR")},
            pet={"tau": ScanStatus(State.OK)},
        )
        status.write(folder)
        judged.append(status.as_dict())
        folders.append(folder)
        images = {paths.brain_mask(label): brain, paths.field_of_view(label, "tau"): brain}
        for name in (
            *(paths.preprocessed_mri(label, modality) for modality in ("T1w", "FLAIR")),
            paths.preprocessed_pet(label, "tau"),
        ):
            images[name] = random.integers(1, 4, SHAPE).astype(np.float32) * brain
        for name, data in images.items():
            save_nifti(folder / name, data, affine)
    write_json(root / "qc" / "subjects.json", judged)
    return folders


def test_packing(tmp_path: Path) -> None:
    settings = file_of(
        study(
            seed=0,
            tracers={"tau": tracer_entry("X", suvr_window=[0.0, 4.0])},
            grid={"shape": list(SHAPE), "voxel_mm": VOXEL_MM},
            folds={"count": 2},
            cohorts={"toy": {"role": "train"}},
        )
    )
    peaks = []
    for people in (FEW, MANY):
        root = tmp_path / str(people)
        words = write_words(root, normalized(root, people))
        given = ("--qc", root / "qc", "--bids", root, "--cohort", "toy", "--settings", settings)
        peaks.append(peak_mb("pack", root / "packed", words, *given))
        volumes = np.load(root / "packed" / "mri.npy", mmap_mode="r")
        assert volumes.shape == (people, 2, *SHAPE)
    assert peaks[1] - peaks[0] < NOISE, peaks


def write_words(root: Path, folders: list[Path]) -> str:
    write_text(root / "folders.txt", "".join(f"{folder}\n" for folder in folders))
    return f"@{root / 'folders.txt'}"


def test_evaluation(tmp_path: Path) -> None:
    """Of the packed volumes few people's are in memory at a time, to the end.

    Not one's alone: the system maps what lies beside what is read, up to megabytes of it.
    """
    made = FakeStudy(tmp_path, 24, errors={"unet": 0.2}, shape=SHAPE)
    packed = PackedDataset(made.packed("elsewhere"))
    synthesis = read_synthesis(made.synthesized("elsewhere", "unet"))
    read = packed.pet.nbytes + packed.mask.nbytes
    held = {}
    for row in evaluate(synthesis, packed):
        if row["subject"] not in held:
            held[row["subject"]] = resident(packed.path)
    assert len(held) == 24 and 0 < max(held.values()) < read / 2, held


def resident(folder: Path) -> int:
    """Bytes of the files of a folder that are mapped into this process and in memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if re.match("[0-9a-f]+-[0-9a-f]+ ", line):
            inside = str(folder) in line
        elif inside and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found
