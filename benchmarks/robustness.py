"""How a model's numbers change with a misplaced PET, noisy MRI, or without the FLAIR.

    python -m benchmarks.robustness results/models/*/fold-0_seed-0 --packed results/packed/sim-train

On the validation subjects of each model's own training, or with --part test on its held-out ones.
Means over their scans of PSNR (dB), SSIM, MAE (SUVR), HFEN and spectral power (dB):

- as it is;
- against the true PET moved along x by so many mm, as a registration may leave it, where brain lies
  on brain: what a metric loses there is no fault of the method, and no difference that is smaller
  means much;
- with normal noise on the MRI inside the brain, in its units from -1 to 1;
- with a FLAIR of air (-1), which no method was trained on; beside it a model that was trained
  without one tells what the FLAIR is worth.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from nibabel.affines import voxel_sizes
from scipy import ndimage
from tqdm import tqdm

from benchmarks import report
from benchmarks.people import Part, pairs_of
from relad.cli import above_zero
from relad.compute.devices import choose_device
from relad.compute.randomness import generator_for
from relad.data.batches import Pair, Volumes, in_batches, input_channels
from relad.data.dataset import PackedDataset
from relad.data.scaling import BACKGROUND
from relad.data.window import to_suvr, width
from relad.methods.synthesis import draw, load_model, noise_of
from relad.results.metrics import METRICS, compare
from relad.results.metrics.detail import extended
from relad.status import Modality, note_of
from relad.study.sampling import Sampling

SHOWN = ("psnr", "ssim", "mae", "hfen", "spectral_high")
SHIFTS_MM, NOISES = (1.0, 2.0, 4.0, 8.0), (0.05, 0.1, 0.2)

#: Takes packed MRI (b, m, x, y, z), the brain (b, 1, x, y, z), and subject and tracer of each.
Change = Callable[[torch.Tensor, torch.Tensor, Sequence[tuple[str, str]]], torch.Tensor]


def noisy(sigma: float) -> Change:
    """Normal noise of this standard deviation inside the brain, the same every time."""

    def change(
        mri: torch.Tensor, mask: torch.Tensor, keys: Sequence[tuple[str, str]]
    ) -> torch.Tensor:
        random = [generator_for("robustness", *key, device=mri.device) for key in keys]
        noise = [torch.randn(mri.shape[1:], generator=r, device=mri.device) for r in random]
        return mri + sigma * torch.stack(noise) * mask

    return change


def without(channel: int) -> Change:
    """One MRI as if there were air."""

    def change(mri: torch.Tensor, *_: object) -> torch.Tensor:
        changed = mri.clone()
        changed[:, channel] = BACKGROUND
        return changed

    return change


def moved(
    volume: np.ndarray, mask: np.ndarray, mm: float, voxel_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Volume (x, y, z) moved along x by cubic splines, and the mask where it is known with it.

    Nothing of what lies outside the mask moves into it: voxels count whose nearest neighbours
    before were both inside.
    """
    by = (mm / voxel_mm, 0, 0)
    (whole,) = extended(mask, volume)
    known = ndimage.shift(mask.astype(float), by, order=1, mode="constant", cval=0.0)
    return ndimage.shift(whole, by, order=3, mode="nearest"), known > 1 - 1e-6


def measured(
    model: Path, data: PackedDataset, part: Part, shifts: Sequence[float], noises: Sequence[float]
) -> Iterator[dict[str, str]]:
    """Yield a row per change of one model."""
    device = choose_device("auto")
    method, scaling, info = load_model(model, device)
    inputs = info["entry"]["inputs"]
    pairs = pairs_of(data, info, part)
    volumes = Volumes(data, input_channels(data, inputs), device)
    voxel_mm = voxel_sizes(data.affine)
    changes: dict[str, Change | float | None] = {"as it is": None}
    changes |= {f"true PET moved {mm:g} mm": mm for mm in shifts}
    changes |= {f"noise {sigma:g} on the MRI": noisy(sigma) for sigma in noises}
    if len(inputs) > 1 and Modality.FLAIR in inputs:
        changes["FLAIR of air"] = without(list(inputs).index(Modality.FLAIR))
    plain: dict[Pair, np.ndarray] = {}
    for label, change in changes.items():
        found = []
        for batch in in_batches(pairs, info["counts"]["batch_size"]):
            keys = [(data.subjects[i]["subject"], data.tracers[k]) for i, k in batch]
            if callable(change) or change is None:
                given = volumes.given(list(batch), scaling)
                if change is not None:
                    mri = torch.stack([volumes.mri(i) for i, _ in batch])
                    mri = change(mri, given.mask, keys)
                    given = replace(given, mri=scaling.inputs(mri, given.mask))
                images = draw(
                    method,
                    scaling,
                    given,
                    Sampling("regression", 1),
                    [data.windows[tracer] for _, tracer in keys],
                    [noise_of(info["seed"], *key, 0, device) for key in keys],
                )
            else:
                images = [plain[pair] for pair in batch]
            if change is None:
                plain |= dict(zip(batch, images, strict=True))
            for (i, k), image in zip(batch, images, strict=True):
                window = data.windows[data.tracers[k]]
                truth = to_suvr(np.asarray(data.pet[i, k], np.float64), window)
                mask = data.pair_mask(i, k)
                if isinstance(change, float):
                    truth, known = moved(truth, mask, change, voxel_mm[0])
                    mask &= known
                # Some metrics look across the mask's edge.
                truth, image = (np.where(mask, v, 0) for v in (truth, image))
                found.append(compare(image, truth, mask, width(window), voxel_mm=voxel_mm))
        means = {m: np.mean([values[m] for values in found]) for m in SHOWN}
        yield {
            "model": info["method"],
            "change": label,
            **{METRICS[m].label: f"{v:.{METRICS[m].decimals}f}" for m, v in means.items()},
        }


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("robustness", __doc__)
    parser.add_argument("models", type=Path, nargs="+", help="folders of trained models")
    parser.add_argument("--packed", type=Path, required=True, help="cohort they were trained on")
    parser.add_argument("--part", choices=get_args(Part), default="validation")
    parser.add_argument("--shifts-mm", type=above_zero, nargs="*", default=SHIFTS_MM)
    parser.add_argument("--noises", type=above_zero, nargs="*", default=NOISES)
    args = parser.parse_args(argv)

    def text() -> str:
        data = PackedDataset(args.packed)
        rows = [
            row
            for model in tqdm(args.models, unit="model")
            for row in measured(model, data, args.part, args.shifts_mm, args.noises)
        ]
        return f"{note_of([data.kind])}; {args.part} subjects\n\n{report.table(rows)}"

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
