"""How sure samples of a model are of people it has not seen, at several temperatures.

    python -m benchmarks.temperature results/models/rela/fold-0_seed-0 \\
        --packed results/packed/sim-train --sampling ddim-25x8 --temperatures 1 1.25 1.5

On the validation subjects of the model's own training, so that `sampling.temperature` can be chosen
without the test fold. Means over their scans: PSNR (dB) of one evaluation from pure noise, of one
sample and of the samples' mean; CRPS (SUVR); spread over skill, 1 where samples spread as far as
they err.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.people import Model, pairs_of
from relad.cli import above_zero
from relad.data.dataset import PackedDataset
from relad.data.window import width
from relad.errors import ReladError
from relad.imaging.psnr import psnr_of
from relad.results.metrics.ensemble import crps, spread_skill
from relad.results.pooled import ratio_of_sums
from relad.status import note_of
from relad.study.sampling import Sampling

HEADERS = ("one sample (dB)", "mean (dB)", "CRPS (SUVR)", "spread/skill")


def scores(samples: np.ndarray, truth: np.ndarray, data_range: float) -> list[float]:
    """Values of :data:`HEADERS` of one scan: K samples (K, n) and the truth (n,), SUVR."""

    def psnr(image: np.ndarray) -> float:
        return psnr_of(float(np.square(image - truth).mean(dtype=np.float64)), data_range)

    spread = spread_skill(samples, truth) if len(samples) > 1 else np.nan
    return [psnr(samples[0]), psnr(samples.mean(axis=0)), crps(samples, truth), spread]


def measured(
    model: Path, packed: Path, samplings: Sequence[Sampling]
) -> tuple[str, list[dict[str, str]]]:
    """What was measured on, and one row per sampling after that of one evaluation from noise."""
    trained, data = Model(model), PackedDataset(packed)
    pairs = pairs_of(data, trained.info, "validation")

    def row(sampling: Sampling) -> dict[str, str]:
        found = [
            scores(scan.samples, scan.truth, width(scan.window))
            for scan in trained.drawn(data, pairs, sampling, "temperature")
        ]
        means = np.mean(found, axis=0)
        _, of_mean, _, ratios = np.transpose(found)
        means[-1] = ratio_of_sums(ratios, of_mean)
        texts = (f"{value:.3f}" if np.isfinite(value) else "" for value in means)
        return {"sampling": sampling.name, **dict(zip(HEADERS, texts, strict=True))}

    wanted = [Sampling("regression", 1), *samplings]
    note = f"{note_of([data.kind])}; {len(pairs)} scans of validation subjects"
    return note, [row(sampling) for sampling in tqdm(wanted, unit="sampling")]


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("temperature", __doc__)
    parser.add_argument("model", type=Path, help="folder of a trained model")
    parser.add_argument("--packed", type=Path, required=True, help="cohort it was trained on")
    parser.add_argument("--sampling", default="ddim-25x8", help="sampler, steps and samples")
    parser.add_argument(
        "--temperatures", type=above_zero, nargs="+", default=[1.0, 1.25, 1.5, 1.75]
    )
    args = parser.parse_args(argv)

    def text() -> str:
        try:
            given = Sampling.parse(args.sampling)
        except ValueError as error:
            raise ReladError(str(error)) from None
        samplings = [replace(given, temperature=value) for value in args.temperatures]
        note, found = measured(args.model, args.packed, samplings)
        return f"{note}\n\n{report.table(found)}"

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
