"""How far realignment finds the motion of PET frames, against the truth of simulated scans.

  python -m benchmarks.motion results/bids/sim-train results/raw/sim-train --subjects 4

To the simulated motion of every frame but the reference, motion of its own is added: so many
millimetres and degrees in a random direction, by resampling it; and white noise, as a share of the
98th percentile of the frame. Errors are distances in mm over a grid of points like a head, between
the map found and the true one. The frame before the window has the contrast of perfusion.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from relad.cohort.series import tracers_in
from relad.errors import ReladError
from relad.fileio import read_json
from relad.imaging.nifti import load_nifti
from relad.imaging.resample import grid_points, sample
from relad.imaging.similarity import rigid
from relad.registration import motion
from relad.registration.inputs import Frames, choose_frames, sidecar
from relad.study.config import load_settings
from relad.study.settings import RegisterSettings

#: Added motion in mm and degrees, and noise.
PLANTED = (
    *((0, 0, 0.0), (5, 5, 0.0), (10, 10, 0.0), (15, 10, 0.0), (20, 10, 0.0), (25, 15, 0.0)),
    *((30, 15, 0.0), (10, 10, 0.5), (10, 10, 1.0), (10, 10, 2.0)),
)
HEAD = grid_points((3, 3, 3), np.diag([60.0, 75.0, 55.0, 1.0])).reshape(-1, 3) - (60, 75, 55)


@dataclass
class Errors:
    """Distances in mm of some frames; ``lost`` counts those that were not realigned."""

    moved: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    lost: int = 0

    def __str__(self) -> str:
        if not self.after:
            return f"{np.mean(self.before):.1f} | | | {self.lost} of {len(self.before)}"
        return (
            f"{np.mean(self.before):.1f} | {np.mean(self.after):.2f} | {max(self.after):.2f} "
            f"| {self.lost} of {len(self.before)}"
        )


@dataclass(frozen=True)
class Scan:
    """A simulated PET: frames (x, y, z), affine, true (4, 4) maps from the T1w, frames in time."""

    frames: list[np.ndarray]
    affine: np.ndarray
    true: list[np.ndarray]
    chosen: Frames


def scans(bids: Path, raw: Path, subjects: int) -> Iterator[Scan]:
    """Yield the PET of some people."""
    tracers = load_settings(None, RegisterSettings).tracers
    people = sorted(bids.glob("sub-*"))[:subjects]
    for file in (file for person in people for file in sorted(person.rglob("*_pet.nii.gz"))):
        meta, image = sidecar(file), load_nifti(file, ndim=4)
        (tracer,) = tracers_in(str(meta["TracerName"]), tracers)
        subject = file.name.partition("_")[0]
        told = read_json(raw / "truth" / subject / "truth.json")["scans"][tracer]
        data = np.asarray(image.dataobj)
        frames = [np.ascontiguousarray(data[..., i]) for i in range(data.shape[3])]
        true = [np.array(matrix) for matrix in told["rigid_T1w_to_frame"]]
        chosen = choose_frames(meta, len(frames), tracers[tracer].frames_min)
        yield Scan(frames, image.affine, true, chosen)


def measure(scan: Scan, planted: tuple, random: np.random.Generator) -> Iterator[tuple]:
    """Plant motion and noise, and realign.

    Yields
    ------
    Of every frame but the reference whether it is inside the window, its true (4, 4) map from the
    reference, the one found (None where there is none), and the centre (3,) in mm.
    """
    shift_mm, turn_deg, noise = planted
    reference, points = scan.chosen.reference, grid_points(scan.frames[0].shape, scan.affine)
    centre = apply_affine(scan.affine, np.array(scan.frames[0].shape) / 2)
    frames, true = [], []
    for index, (frame, pose) in enumerate(zip(scan.frames, scan.true, strict=True)):
        ways = random.normal(size=(2, 3))
        turn, shift = ways / np.linalg.norm(ways, axis=1, keepdims=True)
        own = index != reference and (shift_mm or turn_deg)
        move = rigid(turn_deg * turn, shift_mm * shift, centre) if own else np.eye(4)
        if own:
            frame = sample(frame, scan.affine, apply_affine(np.linalg.inv(move), points))
        grain = noise * np.percentile(frame, 98) * random.normal(size=frame.shape)
        frames.append((frame + grain).astype(np.float32))
        true.append(move @ pose)
    for index, found in enumerate(motion.realign(frames, scan.affine, reference)):
        if index != reference:
            inside = index in scan.chosen.indices
            yield inside, true[index] @ np.linalg.inv(true[reference]), found, centre


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.motion", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("bids", type=Path, help="BIDS dataset of a simulated cohort")
    parser.add_argument("raw", type=Path, help="folder of `relad phantom` of it")
    parser.add_argument("--subjects", type=int, default=4, help="how many people (default: 4)")
    args = parser.parse_args(arguments)
    try:
        every = list(scans(args.bids, args.raw, args.subjects))
    except ReladError as error:
        print(f"benchmarks.motion: error: {error}", file=sys.stderr)
        return 2
    parts = "{0}: before | mean | greatest | not realigned"
    print(f"SIMULATED DATA, {len(every)} scans\n")
    print(f"| added | displacement | {parts.format('window')} | {parts.format('outside')} |")
    print("|---|" + "---:|" * 9)
    for planted in PLANTED:
        random = np.random.default_rng(0)
        parts = {True: Errors(), False: Errors()}
        for scan in every:
            for inside, true, found, centre in measure(scan, planted, random):
                errors, points = parts[inside], HEAD + centre
                there = apply_affine(true, points)
                errors.moved.append(motion.displacement_mm(true, centre))
                errors.before.append(float(np.linalg.norm(points - there, axis=1).mean()))
                if found is None:
                    errors.lost += 1
                else:
                    off = np.linalg.norm(apply_affine(found, points) - there, axis=1)
                    errors.after.append(float(off.mean()))
        what = "{} mm, {}°, noise {:g}".format(*planted)
        moved = max(parts[True].moved)
        print(f"| {what} | ≤ {moved:.0f} mm | {parts[True]} | {parts[False]} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
