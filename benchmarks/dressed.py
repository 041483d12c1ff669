"""What a distribution is worth beside an image that knows how far it errs.

    python -m benchmarks.dressed results/models/{unet,subject-template}/*_seed-0 \\
        --packed results/packed/study

The CRPS of a single image is its MAE: a method that draws samples is ahead of it for having a
spread at all. Here each image is dressed with the error that the method has on its validation
people (Roulston & Smith, Tellus A 55, 2003): in every voxel a normal distribution around the image,
whose standard deviation is the root mean square of these people's errors of the tracer, smoothed
with a Gaussian of two voxels. Scored on the people whom the models' folds test, or with
``--elsewhere`` on those of another cohort, in SUVR: means over subjects, whose tracers and models
are averaged first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage, stats
from tqdm import tqdm

from benchmarks import report
from benchmarks.people import Model, pairs_of
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.status import note_of
from relad.study.sampling import Sampling

#: Of the Gaussian that smooths the squared errors of a few people, in voxels.
SIGMA = 2.0
LEVEL = 0.9
HEADERS = ("MAE", "CRPS, dressed", f"inside {LEVEL:.0%}")


def crps_of_normal(mean: np.ndarray, deviation: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of a normal distribution (Gneiting & Raftery, JASA 102, 2007), in the images' unit."""
    z = (truth - mean) / deviation
    return deviation * (
        z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    )


def deviation_of(errors: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Root mean square error of some people in every voxel, smoothed; each with its mask."""
    square = sum(np.where(mask, error, 0.0) ** 2 for error, mask in errors)
    seen = sum(mask.astype(np.float64) for _, mask in errors)
    square, seen = (ndimage.gaussian_filter(part, SIGMA) for part in (square, seen))
    return np.sqrt(square / np.maximum(seen, 1e-6))


def scores(
    model: Path, packed: PackedDataset, elsewhere: PackedDataset | None
) -> list[dict[str, object]]:
    """Values of each test scan: method, subject, and those of :data:`HEADERS`."""
    trained, once = Model(model), Sampling("regression", 1)
    errors: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    known = pairs_of(packed, trained.info, "validation")
    for scan in trained.drawn(packed, known, once, "dressed"):
        error = np.zeros(scan.mask.shape)
        error[scan.mask] = scan.samples[0] - scan.truth
        errors.setdefault(scan.pair[1], []).append((error, scan.mask))
    deviations = {k: deviation_of(of) for k, of in errors.items()}
    half = stats.norm.ppf((1 + LEVEL) / 2)
    data, pairs = packed, pairs_of(packed, trained.info, "test")
    if elsewhere is not None:
        if elsewhere.tracers != packed.tracers or elsewhere.shape != packed.shape:
            raise ReladError("is of other tracers or another grid", file=elsewhere.path)
        data, pairs = elsewhere, [pair for pair in elsewhere.pairs() if pair[1] in deviations]
    found = []
    for scan in trained.drawn(data, pairs, once, "dressed"):
        (i, k), image, truth = scan.pair, scan.samples[0], scan.truth
        deviation = deviations[k][scan.mask]
        values = (
            np.abs(image - truth).mean(),
            crps_of_normal(image, deviation, truth).mean(),
            (np.abs(image - truth) <= half * deviation).mean(),
        )
        name = {"method": trained.info["method"], "subject": data.subjects[i]["subject"]}
        found.append({**name, **dict(zip(HEADERS, values, strict=True))})
    return found


def table(models: list[Path], packed: PackedDataset, elsewhere: PackedDataset | None) -> str:
    """Markdown table: a row per method."""
    each = tqdm(models, unit="model")
    rows = pd.DataFrame([row for model in each for row in scores(model, packed, elsewhere)])
    people = rows.groupby(["method", "subject"], sort=False).mean()
    means = people.groupby("method", sort=False).mean()
    counts = people.groupby("method", sort=False).size()
    cells = [
        {"method": name, "n": str(counts[name]), **{head: f"{row[head]:.3f}" for head in HEADERS}}
        for name, row in means.iterrows()
    ]
    return f"{note_of([(elsewhere or packed).kind])}\n\n{report.table(cells)}"


def main(argv: list[str] | None = None) -> int:
    parser: argparse.ArgumentParser = report.parser("dressed", __doc__)
    parser.add_argument("models", type=Path, nargs="+", help="folders of trained models")
    parser.add_argument("--packed", type=Path, required=True, help="cohort they were trained on")
    parser.add_argument("--elsewhere", type=Path, help="another cohort, to score these people")
    args = parser.parse_args(argv)

    def text() -> str:
        elsewhere = PackedDataset(args.elsewhere) if args.elsewhere else None
        return table(args.models, PackedDataset(args.packed), elsewhere)

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
