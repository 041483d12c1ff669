"""At which scale samples err, and at which they spread.

    python -m benchmarks.bands results/synthesized/sim-train/rela-sampled/fold-0_seed-0 \\
        --packed results/packed/sim-train

Mean over scans, in the brain, per band of spatial frequency: mean square of the error of the
samples' mean (SUVR^2), mean variance between samples, and sqrt((K + 1) / K variance / error): 1
where samples spread as far as they err, less where they are too sure; a band that the grid does not
hold is left out. One number over all bands
(`spread_skill` of the tables) may be right by too much noise and too little of everything else.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import fft

from benchmarks import report
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.errors import ReladError
from relad.imaging.nifti import load_nifti
from relad.results.metrics.detail import BANDS, extended
from relad.results.records import read_synthesis
from relad.steps.evaluate import compared_pairs
from relad.study.paths import sample_pet

EDGES = {
    "coarser": (0.0, BANDS["low"][0]),
    **BANDS,
    "finer": (BANDS["high"][1], np.inf),
}


def powers(image: np.ndarray, mask: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """Mean square in the mask of each of :data:`EDGES`, of an image (x, y, z)."""
    (image,) = extended(mask, image)
    axes = [fft.fftfreq(n, d) for n, d in zip(image.shape, voxel_mm, strict=True)]
    k = np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True)))
    whole = fft.fftn(image)
    bands = (fft.ifftn(whole * ((k >= low) & (k < high))).real for low, high in EDGES.values())
    return np.array([np.square(band[mask]).mean() for band in bands])


def rows(synthesized: Path, data: PackedDataset) -> list[dict[str, str]]:
    """One row per band, of a folder of `relad synthesize` with several samples of each scan.

    Raises
    ------
    ReladError
        Where it holds one sample only.
    """
    synthesis = read_synthesis(synthesized)
    count = synthesis.samples
    if count < 2:
        raise ReladError(
            "holds one sample of each scan",
            file=synthesized,
            hint="synthesise with `sampling: {samples: 8}`",
        )
    voxel_mm = voxel_sizes(data.affine)
    errors, spreads = [], []
    for index, k in compared_pairs(synthesis, data):
        subject, tracer = data.subjects[index]["subject"], data.tracers[k]
        files = [synthesized / sample_pet(subject, tracer, n) for n in range(1, count + 1)]
        samples = np.stack([np.asarray(load_nifti(file, ndim=3).dataobj) for file in files])
        truth = to_suvr(np.asarray(data.pet[index, k], dtype=np.float64), data.windows[tracer])
        mask, mean = data.pair_mask(index, k), samples.mean(axis=0)
        errors.append(powers(mean - truth, mask, voxel_mm))
        spreads.append(sum(powers(s - mean, mask, voxel_mm) for s in samples) / (count - 1))
    error, spread = np.mean(errors, axis=0), np.mean(spreads, axis=0)
    return [
        {
            "cycles/mm": f"{name}: {low:.3f} to {high:.3f}",
            "error of the mean": f"{e:.5f}",
            "variance of samples": f"{s:.5f}",
            "spread/skill": f"{np.sqrt((count + 1) / count * s / e):.2f}",
        }
        for (name, (low, high)), e, s in zip(EDGES.items(), error, spread, strict=True)
        if e > 0
    ]


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("bands", __doc__)
    parser.add_argument("synthesized", type=Path, help="folder of `relad synthesize`")
    parser.add_argument("--packed", type=Path, required=True, help="folder of `relad pack`")
    args = parser.parse_args(argv)

    def text() -> str:
        data = PackedDataset(args.packed)
        return f"{data.kind.note}\n\n{report.table(rows(args.synthesized, data))}"

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
