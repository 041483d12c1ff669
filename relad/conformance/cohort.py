"""Six made-up people, packed as ``relad pack`` does; their PET asks for all that a method is given.

Smooth random MRI in ellipsoid brains of different sizes. The PET of the two tracers that have any
is linear in both MRI, with weights of opposite order and with means of their own: who overlooks the
tracer or an MRI cannot make it, whether or not the means are taken away
(:mod:`relad.data.scaling`). A third tracer nobody has. One PET ends below the vertex.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from relad.data.dataset import SUBJECT_COLUMNS, PackedDataset
from relad.data.scaling import BACKGROUND
from relad.fileio import write_json, write_table
from relad.status import Kind

SUBJECTS, FOLDS = 6, 2
MODALITIES = ("T1w", "FLAIR")
#: Tracer -> mean, weight of T1w, weight of FLAIR in window units; the one in the middle has no PET.
PET = {"first": (-0.3, 0.5, -0.2), "unseen": None, "second": (0.3, -0.2, 0.5)}
UNSEEN = list(PET).index("unseen")
#: Subject and tracer whose PET ends at this height, as a share of the grid's; they are among the
#: training people of fold 0, and so are pairs of the first batch.
CUT, CUT_AT = (1, 0), 0.6


def write_cohort(
    folder: Path, shape: tuple[int, int, int], tracers: Sequence[str] = tuple(PET)
) -> PackedDataset:
    """Write the packed cohort on a grid of so many voxels, and open it."""
    made = {name: PET[name] for name in tracers}
    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(SUBJECTS, len(MODALITIES), 5, 5, 5, generator=random)
    smooth = F.interpolate(coarse, shape, mode="trilinear", align_corners=True)
    fine = torch.randn(smooth.shape, generator=random)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = torch.stack(axes).square().sum(0).sqrt()
    mask = torch.stack([radius < 0.85 + 0.02 * i for i in range(SUBJECTS)])
    tissue = (0.4 * smooth + 0.1 * fine).clamp(-1, 1)
    mri = torch.where(mask[:, None], tissue, BACKGROUND)
    pet = torch.stack(
        [
            torch.full(mask.shape, torch.nan)
            if of is None
            else torch.where(
                mask, (of[0] + of[1] * mri[:, 0] + of[2] * mri[:, 1]).clamp(-1, 1), BACKGROUND
            )
            for of in made.values()
        ],
        dim=1,
    )
    person, tracer = CUT
    above = mask[person] & (torch.arange(shape[2]) >= CUT_AT * shape[2])
    pet[person, tracer][above] = torch.nan
    folder.mkdir(parents=True)
    for name, volumes in (("mri", mri), ("pet", pet), ("mask", mask)):
        np.save(folder / f"{name}.npy", volumes.numpy())
    scanned = ",".join(name for name, of in made.items() if of is not None)
    write_table(
        folder / "subjects.tsv",
        [
            {"subject": f"S{i}", "included": "yes", "index": i, "fold": i % FOLDS}
            | {"tracers": scanned}
            for i in range(SUBJECTS)
        ],
        SUBJECT_COLUMNS,
    )
    write_json(
        folder / "dataset.json",
        {
            "cohort": "conformance",
            "role": "train",
            "kind": Kind.SIMULATED,
            "modalities": MODALITIES,
            "tracers": list(made),
            "windows": dict.fromkeys(made, (0.0, 4.0)),
            "affine": np.eye(4).tolist(),
            "shape": shape,
        },
    )
    return PackedDataset(folder)
