"""How far the limits of quality tell FLAIR and PET that lie right from those that do not.

  python -m benchmarks.quality results/registered/sim-train

For each person of a folder of `relad register`: the pose margin of FLAIR and PET as they were
registered, and the greatest of its margins when they are moved away by so many millimetres or
degrees in four random directions; then what is measured of each image as a PET: the share of
detail that no tomograph resolves, of the tracers, and of T1w and FLAIR given for one; and the fit
around reference regions, as they are carried and at most when carried 8 mm off. A margin is the
difference in normalised mutual information to the best of 12 displaced poses. Whole heads:
benchmarks/heads.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.errors import ReladError
from relad.imaging import regions
from relad.imaging.nifti import load_nifti
from relad.imaging.similarity import rigid
from relad.qc.measures import Lattice, Scan
from relad.registration.transforms import MniToT1w, names, pet_names, read_affine
from relad.status import Modality, SubjectStatus

REFERENCES = ("inferior_cerebellar_grey", "whole_cerebellum")
#: Displacements: millimetres and degrees.
ERRORS = ((0, 0), (4, 0), (6, 0), (8, 0), (12, 0), (16, 0), (0, 6), (0, 10))


def images(folder: Path, status: SubjectStatus) -> Iterator[tuple[str, nib.Nifti1Image, Path]]:
    """Yield FLAIR and PET of a registered subject, each with its transform."""
    files = names(status.subject)
    if status.mri[Modality.FLAIR].ok:
        flair = load_nifti(folder / files["flair"], ndim=3)
        yield "FLAIR", flair, folder / files["flair_to_t1w"]
    for tracer, scan in status.pet.items():
        if scan.ok:
            pet = pet_names(status.subject, tracer)
            yield tracer, load_nifti(folder / pet["mean"], ndim=3), folder / pet["pet_to_t1w"]


def rows(folder: Path) -> Iterator[str]:
    """Lines of the table of one registered subject."""
    status = SubjectStatus.read(folder)
    files = names(status.subject)
    t1w = load_nifti(folder / files["t1w"], ndim=3)
    mask = load_nifti(folder / files["brain_mask"], ndim=3, allow_constant=True)
    lattice = Lattice(t1w, mask, MniToT1w(folder, status.subject))
    centre = lattice.straight[lattice.brain].mean(axis=0)
    random = np.random.default_rng(0)

    for name, image, transform in images(folder, status):
        matrix = read_affine(transform)
        cells = []
        for shift, turn in ERRORS:
            worst = -np.inf
            for _ in range(4 if shift or turn else 1):
                way = random.normal(size=3)
                way /= np.linalg.norm(way)
                moved = matrix @ rigid(turn * way, shift * way, centre)
                scan = Scan.of(np.asarray(image.dataobj), image.affine, moved)
                worst = max(worst, lattice.margin(scan))
            cells.append(f"{worst:+.3f}")
        detail = lattice.pet(image, matrix)["detail"]
        yield f"| {status.subject} | {name} | {' | '.join(cells)} | {detail:.3f} |"
    detail = lattice.pet(t1w, np.eye(4))["detail"]
    yield f"| {status.subject} | T1w |{'  |' * len(ERRORS)} {detail:.3f} |"
    to_t1w = MniToT1w(folder, status.subject)
    for region in REFERENCES:
        cut = regions.mask_of(region, 0.0)
        cells = {0: lattice.reference_fit(cut), 8: -np.inf}
        for shift in (*(8 * np.eye(3)), *(-8 * np.eye(3))):
            moved = Lattice(t1w, mask, partial(_shifted, to_t1w, shift))
            cells[8] = max(cells[8], moved.reference_fit(cut))
        shown = [f"{cells[mm]:.3f}" if not turn and mm in cells else "" for mm, turn in ERRORS]
        yield f"| {status.subject} | fit, {region} | {' | '.join(shown)} |  |"


def _shifted(
    to_t1w: MniToT1w, shift: np.ndarray, points: np.ndarray, *, deform: bool = True
) -> np.ndarray:
    return to_t1w(points, deform=deform) + shift


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", metavar="SOURCE", type=Path, nargs="+")
    parser.add_argument("--subjects", type=int, help="people measured (default: all)")
    args = parser.parse_args()
    print("| person | image | " + " | ".join(f"{s} mm {t}°" for s, t in ERRORS) + " | detail |")
    print("|---|---|" + "---:|" * (len(ERRORS) + 1))
    for source in args.sources:
        for folder in sorted(source.glob("sub-*"))[: args.subjects]:
            print("\n".join(rows(folder)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except ReladError as error:
        sys.exit(f"error: {error}")
