"""How far the pose margins of quality control tell right from wrong.

  python -m benchmarks.quality pet results/registered/sim-train
  python -m benchmarks.quality head T1w.nii.gz [T1w.nii.gz ...]

`pet`: for each person and tracer of a folder of `relad register`, the margin of the PET as it was
registered, and the greatest of its margins when it is moved away by so many millimetres or degrees
in four random directions. `head`: the margin of each T1w with MNI152, as it lies and with its
orientation codes made wrong; and of a sphere, a cube of noise and an abdomen. A margin is the
difference in normalised mutual information to the best of 12 displaced poses.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.errors import ReladError
from relad.fileio import read_json
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.imaging.resample import grid_points
from relad.imaging.similarity import rigid
from relad.qc.measures import Lattice, Scan
from relad.registration import brain, engine
from relad.registration.transforms import MniToT1w, names, pet_names, read_affine

#: Displacements of PET: millimetres and degrees.
ERRORS = ((0, 0), (4, 0), (6, 0), (8, 0), (12, 0), (16, 0), (0, 6), (0, 10))
#: Orientation codes made wrong: maps of a head's own coordinates.
WRONG = {
    "half turn about left-right": np.diag([1.0, -1, -1, 1]),
    "half turn about back-front": np.diag([-1.0, 1, -1, 1]),
    "half turn about bottom-top": np.diag([-1.0, -1, 1, 1]),
    "mirrored bottom-top": np.diag([1.0, 1, -1, 1]),
    "two axes exchanged": np.eye(4)[[0, 2, 1, 3]],
}


def pet_margins(folder: Path) -> Iterator[str]:
    """Lines of the table of one registered subject."""
    status = read_json(folder / "status.json")
    subject, files = status["subject"], names(status["subject"])
    lattice = Lattice(
        load_nifti(folder / files["t1w"], ndim=3),
        load_nifti(folder / files["brain_mask"], ndim=3, allow_constant=True),
        MniToT1w(folder, subject),
    )
    centre = lattice.straight[lattice.brain].mean(axis=0)
    random = np.random.default_rng(0)
    for tracer, entry in status["tracers"].items():
        if entry["status"] != "ok":
            continue
        pet = pet_names(subject, tracer)
        image = load_nifti(folder / pet["mean"], ndim=3)
        matrix = read_affine(folder / pet["pet_to_t1w"])
        cells = []
        for shift, turn in ERRORS:
            worst = -np.inf
            for _ in range(4 if shift or turn else 1):
                way = random.normal(size=3)
                way /= np.linalg.norm(way)
                moved = matrix @ rigid(turn * way, shift * way, centre)
                scan = Scan.of(np.asarray(image.dataobj), image.affine, moved)
                worst = max(worst, lattice.pet(scan)["margin"])
            cells.append(f"{worst:+.3f}")
        yield f"| {subject} | {tracer} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("pet", "head"))
    parser.add_argument("sources", metavar="SOURCE", type=Path, nargs="+")
    parser.add_argument("--subjects", type=int, help="people measured (default: all)")
    args = parser.parse_args()
    if args.what == "pet":
        print("| person | tracer | " + " | ".join(f"{s} mm {t}°" for s, t in ERRORS) + " |")
        print("|---|---|" + "---:|" * len(ERRORS))
        for source in args.sources:
            for folder in sorted(source.glob("sub-*"))[: args.subjects]:
                print("\n".join(pet_margins(folder)), flush=True)
        return
    engine.configure(1, 0)
    print("| image | margin, affine | half turn less as found | correlation after SyN |")
    print("|---|---:|---:|---:|")
    for name, image in heads(args.sources):
        found = head_margin(image)
        cells = [found[f"T1w_{key}"] for key in ("margin", "half_turn", "registration")]
        print(f"| {name} | " + " | ".join(f"{v:+.3f}" for v in cells) + " |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except ReladError as error:
        sys.exit(f"error: {error}")
