"""What the place of an atlas reference region does to SUVR, on people whose truth is known.

  python -m benchmarks.references results/registered/hybrid results/raw/hybrid/truth

The first folder is of `relad register`, the second of `relad phantom --heads`: labels, noise-free
SUVR and reference region of each person in T1w space. For each tracer's region, carried to every
person by the registration: the share that lies inside the labelled cerebellum, and the error of
SUVR that its place makes, 1 / (mean of the true SUVR in it) - 1, mean and greatest over people;
once for the region as it is, once with the rim that it leaves out (relad.imaging.atlas).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from relad.errors import ReladError
from relad.fileio import read_table
from relad.imaging import atlas, regions
from relad.imaging.nifti import load_nifti
from relad.imaging.resample import sample
from relad.registration.transforms import MniToT1w
from relad.study.config import load_settings
from relad.study.settings import NormalizeSettings

CEREBELLUM = ("superior_cerebellar_grey", "inferior_cerebellar_grey", "cerebellar_white")


def with_rim(region: str) -> np.ndarray:
    """MNI points (n, 3) of a reference region and the rim that it leaves out."""
    affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    labels = [atlas.REGIONS[name] for name in atlas.REFERENCE_REGIONS[region]]
    inside = np.isin(atlas.region_labels(atlas.SHAPE, affine), labels)
    return apply_affine(affine, np.argwhere(inside).astype(float))


def measure(registered: Path, truth: Path, tracer: str, points: np.ndarray) -> tuple[float, float]:
    """Share in the labelled cerebellum, and error of SUVR, of one person and tracer."""
    subject = registered.name.removeprefix("sub-")
    there = MniToT1w(registered, subject)(points)
    stem = truth / registered.name / f"{registered.name}"
    labels = load_nifti(Path(f"{stem}_space-T1w_dseg.nii.gz"), ndim=3)
    table = read_table(Path(f"{stem}_space-T1w_dseg.tsv"))
    wanted = [int(row["index"]) for row in table if row["name"] in CEREBELLUM]
    index = np.rint(apply_affine(np.linalg.inv(labels.affine), there)).astype(int)
    found = ndimage.map_coordinates(np.asarray(labels.dataobj), index.T, order=0)
    suvr = load_nifti(Path(f"{stem}_trc-{tracer}_space-T1w_desc-noisefree_pet.nii.gz"), ndim=3)
    mean = float(sample(np.asarray(suvr.dataobj), suvr.affine, there).mean())
    return float(np.isin(found, wanted).mean()), 1 / mean - 1


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.references",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("registered", type=Path)
    parser.add_argument("truth", type=Path)
    args = parser.parse_args()
    tracers = load_settings(None, NormalizeSettings).tracers
    print(
        "| tracer, region | people | in the cerebellum: mean, least | SUVR error: mean, greatest |"
    )
    print("|---|---:|---:|---:|")
    for tracer, entry in tracers.items():
        region = entry.reference_region
        for name, points in (
            (region, regions.points_of(region, 0.0)),
            (f"{region} with its rim", with_rim(region)),
        ):
            rows = np.array([
                measure(folder, args.truth, tracer, points)
                for folder in sorted(args.registered.glob("sub-*"))
                if any(folder.glob("*desc-affine_xfm.mat"))
            ])  # fmt: skip
            share, error = rows.T
            print(
                f"| {tracer}, {name} | {len(rows)} | {share.mean():.3f}, {share.min():.3f} | "
                f"{error.mean():+.1%}, {error[np.abs(error).argmax()]:+.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except ReladError as error:
        sys.exit(f"error: {error}")
