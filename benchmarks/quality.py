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
    to_t1w = MniToT1w(folder, subject)
    points = Lattice.points()
    straight = to_t1w(points, deform=False)
    head, mask = (
        Scan.of(np.asarray(image.dataobj), image.affine)
        for image in (
            load_nifti(folder / files["t1w"], ndim=3),
            load_nifti(folder / files["brain_mask"], ndim=3, allow_constant=True),
        )
    )
    lattice = Lattice(straight, straight, head, mask.at(straight) > 0.5)
    centre = straight[lattice.brain].mean(axis=0)
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


def no_heads() -> Iterator[tuple[str, nib.Nifti1Image]]:
    """Yield images of 2 mm that show no head, with noise."""
    shape = (100, 110, 100)
    affine = atlas.grid_affine(shape, 2.0)
    random = np.random.default_rng(0)
    points = grid_points(shape, affine) - np.array([0.0, -17.0, 5.0])

    def inside(centre: tuple, axes: tuple) -> np.ndarray:
        return (((points - np.array(centre)) / np.array(axes)) ** 2).sum(-1) < 1

    body = 300.0 * inside((0, 0, 0), (95, 70, 90))
    for value, centre, axes in (
        (150, (0, 0, 0), (88, 62, 90)),
        (420, (-40, 10, 20), (40, 35, 50)),
        (380, (45, 15, 30), (25, 20, 30)),
        (520, (0, -45, 0), (18, 16, 90)),
        (250, (10, 20, -40), (40, 25, 30)),
    ):
        body[inside(centre, axes)] = value
    cube = random.uniform(0, 500, shape) * (np.abs(points) < 70).all(-1)
    for name, data in (
        ("sphere", 500.0 * inside((0, 0, 0), (75, 75, 75))),
        ("cube of noise", cube),
        ("abdomen", body),
    ):
        noisy = np.abs(data + random.normal(0, 10, shape)).astype(np.float32)
        yield name, nib.Nifti1Image(noisy, affine)


def heads(files: list[Path]) -> Iterator[tuple[str, nib.Nifti1Image]]:
    """Yield each T1w as it lies and turned the wrong ways, then what is no head."""
    for number, file in enumerate(files, 1):
        image = load_nifti(file, ndim=3)
        yield f"head {number}", image
        for name, matrix in WRONG.items():
            yield f"head {number}, {name}", nib.Nifti1Image(image.dataobj, matrix @ image.affine)
    yield from no_heads()


def head_margin(image: nib.Nifti1Image) -> dict[str, float]:
    """Numbers of a T1w's registration to MNI."""
    corrected = engine.correct_bias(image)
    with tempfile.TemporaryDirectory() as name:
        prefix = Path(name) / "mni"
        brain.to_mni(engine.working_copy(corrected, 2.0), prefix, seed=0)
        for suffix, key in (("0GenericAffine.mat", "affine"), ("1Warp.nii.gz", "warp")):
            Path(f"{prefix}{suffix}").rename(Path(name) / names("x")[f"t1w_to_mni_{key}"])
        to_t1w = MniToT1w(Path(name), "x")
        points = Lattice.points()
        straight = to_t1w(points, deform=False)
        head = Scan.of(np.asarray(corrected.dataobj), corrected.affine)
        lattice = Lattice(straight, to_t1w(points), head, np.zeros(points.shape[:3], bool))
        return lattice.head()


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
