"""A tiny packed cohort of random brains, written as `relad pack` writes one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from relad import fileio
from relad.data.dataset import SUBJECT_COLUMNS, PackedDataset

TRACERS = ("tau", "amyloid", "tspo")
WINDOWS = {"tau": (0.0, 4.0), "amyloid": (0.0, 4.0), "tspo": (0.0, 3.0)}


def write_packed(
    path: Path,
    *,
    subjects: int = 6,
    shape: tuple[int, int, int] = (16, 20, 12),
    cohort: str = "toy",
    role: str = "train",
    folds: int = 3,
    seed: int = 0,
) -> Path:
    """Write a cohort whose PET follows from its MRI, so that methods have something to learn."""
    random = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    mask = np.broadcast_to((grid**2).sum(0) < 0.9, (subjects, *shape)).copy()
    mri = np.clip(random.normal(0, 0.3, (subjects, 2, *shape)), -1, 1).astype(np.float32)
    mri = np.where(mask[:, None], mri, -1).astype(np.float32)
    load = random.uniform(-0.3, 0.3, (subjects, 1, 1, 1))
    pet = np.stack([0.5 * mri[:, k % 2] + load - 0.1 * k for k in range(len(TRACERS))], axis=1)
    pet = np.where(mask[:, None], pet, -1).astype(np.float32)
    np.save(path / "mri.npy", mri)
    np.save(path / "pet.npy", pet)
    np.save(path / "mask.npy", mask)
    fileio.write_table(
        path / "subjects.tsv",
        [
            {
                "subject": f"{'S' if role == 'train' else 'E'}{i:03d}",
                "session": "bl",
                "included": "yes",
                "index": i,
                "fold": i % folds if role == "train" else None,
                "group": "CN",
                "age": 70,
                "sex": "F",
                "tracers": ",".join(TRACERS),
            }
            for i in range(subjects)
        ],
        SUBJECT_COLUMNS,
    )
    fileio.write_json(
        path / "dataset.json",
        {
            "cohort": cohort,
            "role": role,
            "kind": "simulated",
            "modalities": ["T1w", "FLAIR"],
            "tracers": list(TRACERS),
            "windows": {k: list(v) for k, v in WINDOWS.items()},
            "affine": np.diag([8.0, 8.0, 8.0, 1.0]).tolist(),
            "shape": list(shape),
            "folds": {},
            "provenance": {},
        },
    )
    return path


def cut_pet(
    folder: Path, packed: Path, pairs: Iterable[tuple[int, int]], top: int
) -> PackedDataset:
    """A copy of a packed cohort in which the PET of some pairs ends below plane ``top``."""
    shutil.copytree(packed, folder)
    pet, mask = (np.load(folder / f"{name}.npy") for name in ("pet", "mask"))
    for i, k in pairs:
        pet[i, k, ..., top:][mask[i, ..., top:]] = np.nan
    np.save(folder / "pet.npy", pet)
    return PackedDataset(folder)
