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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage, stats
from tqdm import tqdm

from benchmarks import report
from benchmarks.people import Pair, pairs_of
from relad.compute.devices import choose_device
from relad.compute.randomness import generator_for
from relad.data.batches import Volumes, in_batches, input_channels
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.errors import ReladError
from relad.methods.synthesis import draw, load_model
from relad.status import note_of
from relad.study.sampling import Sampling

#: Of the Gaussian that smooths the squared errors of a few people, in voxels.
SIGMA = 2.0
LEVEL = 0.9
#: Subject, tracer, image, truth and mask.
Compared = tuple[str, int, np.ndarray, np.ndarray, np.ndarray]
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
    device = choose_device("auto")
    method, scaling, info = load_model(model, device)

    def images(data: PackedDataset, pairs: list[Pair]) -> Iterator[Compared]:
        volumes = Volumes(data, input_channels(data, info["entry"]["inputs"]), device)
        for batch in in_batches(pairs, info["counts"]["batch_size"]):
            given = volumes.given(list(batch), scaling)
            windows = [data.windows[data.tracers[k]] for _, k in batch]
            random = [generator_for("dressed", i, k, device=device) for i, k in batch]
            drawn = draw(method, scaling, given, Sampling("regression", 1), windows, random)
            for (i, k), window, image in zip(batch, windows, drawn, strict=True):
                truth = to_suvr(np.asarray(data.pet[i, k], dtype=np.float64), window)
                yield data.subjects[i]["subject"], k, image, truth, data.pair_mask(i, k)

    errors: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for _, k, image, truth, mask in images(packed, pairs_of(packed, info, "validation")):
        errors.setdefault(k, []).append((np.where(mask, image - truth, 0.0), mask))
    deviations = {k: deviation_of(of) for k, of in errors.items()}
    half = stats.norm.ppf((1 + LEVEL) / 2)
    tested = packed, pairs_of(packed, info, "test")
    if elsewhere is not None:
        if elsewhere.tracers != packed.tracers or elsewhere.shape != packed.shape:
            raise ReladError("is of other tracers or another grid", file=elsewhere.path)
        tested = elsewhere, [pair for pair in elsewhere.pairs() if pair[1] in deviations]
    found = []
    for subject, k, image, truth, mask in images(*tested):
        mean, true, deviation = image[mask], truth[mask], deviations[k][mask]
        values = (
            np.abs(mean - true).mean(),
            crps_of_normal(mean, deviation, true).mean(),
            (np.abs(mean - true) <= half * deviation).mean(),
        )
        name = {"method": info["method"], "subject": subject}
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
