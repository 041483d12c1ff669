"""Real heads through preprocessing: who is kept, how right it is, and what must not get through.

  python -m benchmarks.heads right FOLDER [FOLDER ...] --jobs 2
  python -m benchmarks.heads wrong FOLDER --jobs 2

FOLDER holds people as NiChart names them (ID_T1.nii.gz, ID_FL.nii.gz and, for the comparison, the
145 MUSE labels ID_T1_DLMUSE.nii.gz), or a folder per person with one T1w and one FLAIR.

`right` preprocesses everybody as they lie and with the T1w's header displaced by 40 mm and 25
degrees, and the first two people in ways that scanners and archives have (a T1w alone, FLAIR
slices of 5 mm, fields of view that are cut, a long neck, a pitched head). It prints whether each is
included; Dice of the brain mask with the labels, closed by three voxels and filled, and the share
of them that it misses; the share of each atlas reference region that lies inside the labelled
cerebellum, and inside its grey matter; and how far the maps to MNI of both runs lie apart.

`wrong` preprocesses what has to be refused: what is no head, wrong orientation codes, somebody
else's FLAIR, FLAIR displaced after registration.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from relad.errors import DataError, ReladError
from relad.imaging import atlas, regions
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.resample import FWHM_PER_SIGMA, grid_points, sample
from relad.imaging.similarity import rigid
from relad.qc.limits import judge
from relad.registration import engine, inputs
from relad.registration.subject import Subject
from relad.registration.transforms import MniToT1w, names
from relad.status import Modality, SubjectStatus
from relad.steps.normalize import write_normalized
from relad.study.config import load_settings
from relad.study.settings import PreprocessSettings

#: MUSE labels of the cerebellum (exterior, white, vermis) and of its grey matter.
CEREBELLUM, CEREBELLAR_GREY = (38, 39, 40, 41, 71, 72, 73), (38, 39, 71, 72, 73)
REFERENCES = ("inferior_cerebellar_grey", "cerebellar_grey", "whole_cerebellum")
SHIFT_MM, TURN_DEG = 40.0, 25.0
#: Orientation codes made wrong: maps of a head's own coordinates.
WRONG_CODES = {
    "half turn about left-right": np.diag([1.0, -1, -1, 1]),
    "half turn about back-front": np.diag([-1.0, 1, -1, 1]),
    "half turn about bottom-top": np.diag([-1.0, -1, 1, 1]),
    "mirrored bottom-top": np.diag([1.0, 1, -1, 1]),
    "two axes exchanged": np.eye(4)[[0, 2, 1, 3]],
}


@dataclass(frozen=True)
class Head:
    """A person's files; ``labels`` are MUSE's on the grid of the T1w."""

    name: str
    t1w: Path
    flair: Path
    labels: Path | None


def people(folder: Path) -> list[Head]:
    """Everybody in a folder of either kind."""
    found = []
    for t1w in sorted(folder.glob("*_T1.nii.gz")):
        name = t1w.name.removesuffix("_T1.nii.gz")
        flair, labels = (folder / f"{name}_{part}.nii.gz" for part in ("FL", "T1_DLMUSE"))
        if flair.exists():
            found.append(Head(name, t1w, flair, labels if labels.exists() else None))
    for one in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = [[f for f in sorted(one.glob("*.nii*")) if kind in f.name.lower()]
                  for kind in ("t1w.nii", "flair.nii")]  # fmt: skip
        if all(len(files) == 1 for files in images):
            found.append(Head(one.name, images[0][0], images[1][0], None))
    if not found:
        raise ReladError("holds nobody with a T1w and a FLAIR", file=folder)
    return found


def closed(labels: np.ndarray) -> np.ndarray:
    """Labels (x, y, z) as a brain: closed by three voxels and filled."""
    brain = ndimage.binary_closing(np.pad(labels > 0, 6), iterations=3)[6:-6, 6:-6, 6:-6]
    return ndimage.binary_fill_holes(brain)


# --- cases ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Images of one run; ``moved`` is where the head has been taken from where it lay."""

    person: str
    what: str
    t1w: nib.Nifti1Image
    flair: nib.Nifti1Image | None
    labels: nib.Nifti1Image | None = None
    moved: np.ndarray | None = None


def load_labels(head: Head) -> nib.Nifti1Image | None:
    return None if head.labels is None else load_nifti(head.labels, ndim=3)


def as_it_lies(head: Head) -> Case:
    return Case(head.name, "as it lies", load_nifti(head.t1w, ndim=3),
                load_nifti(head.flair, ndim=3), load_labels(head), np.eye(4))  # fmt: skip


def displaced(head: Head) -> Case:
    """The T1w and its labels displaced by their header; the FLAIR stays."""
    lies = as_it_lies(head)
    random = np.random.default_rng([*head.name.encode()])
    turn, shift = (v / np.linalg.norm(v) for v in random.normal(size=(2, 3)))
    middle = apply_affine(lies.t1w.affine, np.asarray(lies.t1w.shape) / 2)
    moved = rigid(TURN_DEG * turn, SHIFT_MM * shift, middle)
    t1w, labels = (i and nib.Nifti1Image(i.dataobj, moved @ i.affine)
                   for i in (lies.t1w, lies.labels))  # fmt: skip
    return Case(head.name, f"displaced by {SHIFT_MM:g} mm, {TURN_DEG:g}°", t1w, lies.flair, labels,
                moved)  # fmt: skip


def _cut(image: nib.Nifti1Image, low: np.ndarray, high: np.ndarray) -> nib.Nifti1Image:
    affine = image.affine.copy()
    affine[:3, 3] = apply_affine(image.affine, low)
    data = np.asarray(image.dataobj)[tuple(map(slice, low, high))]
    return nib.Nifti1Image(np.ascontiguousarray(data), affine)


def canonical(case: Case) -> Case:
    """The T1w and labels in the order right, anterior, superior."""
    t1w, labels = (i and nib.as_closest_canonical(i) for i in (case.t1w, case.labels))
    return replace(case, t1w=t1w, labels=labels)


def odd(head: Head) -> Iterator[Case]:
    """Yield a head as scanners and archives may deliver it."""
    lies = as_it_lies(head)
    yield replace(lies, what="T1w alone", flair=None)

    flair = lies.flair
    axis = int(np.argmax(np.abs(flair.affine[2, :3])))
    factor = 5.0 / float(voxel_sizes(flair.affine)[axis])
    sigma = np.zeros(3)
    sigma[axis] = factor / FWHM_PER_SIGMA
    thick, shape = flair.affine.copy(), np.array(flair.shape)
    thick[:3, axis] *= factor
    shape[axis] = int(shape[axis] / factor)
    smooth = ndimage.gaussian_filter(np.asarray(flair.dataobj), sigma)
    slices = sample(smooth, flair.affine, grid_points(shape, thick))
    yield replace(lies, what="FLAIR of 5 mm", flair=nib.Nifti1Image(slices, thick))

    if lies.labels is None:
        return
    upright = canonical(lies)
    inside = np.argwhere(closed(np.asarray(upright.labels.dataobj)))
    step = voxel_sizes(upright.t1w.affine)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    shape = np.asarray(upright.t1w.shape)

    def cut(what: str, first: np.ndarray, last: np.ndarray) -> Case:
        first, last = np.maximum(first, 0), np.minimum(last, shape)
        t1w, labels = (_cut(i, first, last) for i in (upright.t1w, upright.labels))
        return replace(upright, what=what, t1w=t1w, labels=labels)

    yield cut("cut to the brain", low - 1, high + 1)
    yield cut("vertex cut by 6 mm", 0 * low, np.array([*shape[:2], high[2] - round(6 / step[2])]))

    slices = round(90 / float(step[2]))
    neck, unlabelled = (
        np.concatenate([np.repeat(np.asarray(image.dataobj)[:, :, :1], slices, axis=2) * shown,
                        np.asarray(image.dataobj)], axis=2)
        for image, shown in ((upright.t1w, 1), (upright.labels, 0))
    )  # fmt: skip
    affine = upright.t1w.affine.copy()
    affine[:3, 3] = apply_affine(affine, [0, 0, -slices])
    t1w, labels = (nib.Nifti1Image(d, affine) for d in (neck, unlabelled))
    yield replace(upright, what="neck longer by 90 mm", t1w=t1w, labels=labels)

    for pitch in (30.0, -30.0):
        yield _pitched(upright, pitch)


def _pitched(case: Case, degrees: float) -> Case:
    """The head turned about the axis from left to right in its field of view, and 50 mm lower."""
    middle = apply_affine(case.t1w.affine, np.asarray(case.t1w.shape) / 2)
    moved = rigid(np.array([degrees, 0, 0]), np.zeros(3), middle)
    pad = 16
    affine = case.t1w.affine.copy()
    affine[:3, 3] = apply_affine(affine, [-pad] * 3)
    points = apply_affine(
        np.linalg.inv(moved), grid_points(np.asarray(case.t1w.shape) + 2 * pad, affine)
    )
    lower = np.eye(4)
    lower[2, 3] = -50.0
    t1w = sample(np.asarray(case.t1w.dataobj), case.t1w.affine, points)
    index = np.rint(apply_affine(np.linalg.inv(case.labels.affine), points)).astype(int)
    labels = ndimage.map_coordinates(
        np.asarray(case.labels.dataobj), np.moveaxis(index, -1, 0), order=0
    )
    return replace(
        case,
        what=f"pitched by {degrees:+g}°, 50 mm lower",
        t1w=nib.Nifti1Image(t1w, lower @ affine),
        labels=nib.Nifti1Image(labels, lower @ affine),
        moved=lower @ moved,
    )


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


def controls(heads: list[Head]) -> Iterator[Case]:
    """Yield what has to be refused."""
    for name, image in no_heads():
        yield Case("", name, image, None)
    for head in heads[:2]:
        lies = as_it_lies(head)
        for name, matrix in WRONG_CODES.items():
            t1w = nib.Nifti1Image(lies.t1w.dataobj, matrix @ lies.t1w.affine)
            yield Case(head.name, name, t1w, None)
    for number, head in enumerate(heads):
        other = heads[(number + 1) % len(heads)]
        yield Case(head.name, f"FLAIR of {other.name}", load_nifti(head.t1w, ndim=3),
                   load_nifti(other.flair, ndim=3))  # fmt: skip


# --- runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes
    ----------
    where
        (n, 3) points of the T1w, moved back to where the head lay, at which the template's brain
        was found; None where it was not.
    seconds, gigabytes
        Processor time of the run, and the greatest memory of its process so far.
    """

    case: str
    person: str
    status: SubjectStatus
    against_labels: dict[str, Any]
    where: np.ndarray | None
    seconds: float
    gigabytes: float


def run(case: Case, settings: PreprocessSettings) -> Outcome:
    """Preprocess a case, as `relad preprocess` does."""
    engine.configure(1, settings.seed)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registered, out = folder / "registered", folder / "out"
        registered.mkdir()
        out.mkdir()
        save_nifti(folder / "T1w.nii.gz", np.asarray(case.t1w.dataobj), case.t1w.affine)
        if case.flair is not None:
            flair = np.asarray(case.flair.dataobj)
            save_nifti(folder / "FLAIR.nii.gz", flair, case.flair.affine)
        session = inputs.Session(
            None, folder / "T1w.nii.gz", case.flair and folder / "FLAIR.nii.gz", {}, None
        )
        step = Subject(folder, "x", settings)
        step.write(registered, lambda: session)
        status, where, labelled = step.status, None, {}
        if status.ok:
            status = judge(write_normalized(registered, out, "x", settings, {}), settings.qc)
            to_t1w = MniToT1w(registered, "x")
            affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
            inside = np.argwhere(atlas.brain_mask(atlas.SHAPE, affine))[::7]
            if case.moved is not None:
                there = to_t1w(apply_affine(affine, inside.astype(float)))
                where = apply_affine(np.linalg.inv(case.moved), there)
            if case.labels is not None:
                mask = load_nifti(registered / names("x")["brain_mask"], allow_constant=True)
                labelled = compared(np.asarray(mask.dataobj) > 0.5, case.labels, to_t1w)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.process_time() - start
    return Outcome(case.what, case.person, status, labelled, where, seconds, gigabytes)


def compared(mask: np.ndarray, labels: nib.Nifti1Image, to_t1w: MniToT1w) -> dict[str, Any]:
    """A mask on the labels' grid, and the atlas's reference regions, compared with labels."""
    values = np.rint(np.asarray(labels.dataobj)).astype(int)
    brain = closed(values)
    found: dict[str, Any] = {
        "dice": 2 * (mask & brain).sum() / (mask.sum() + brain.sum()),
        "missed": (brain & ~mask).sum() / brain.sum(),
    }
    for region in REFERENCES:
        points = apply_affine(np.linalg.inv(labels.affine), to_t1w(regions.points_of(region, 0.0)))
        there = ndimage.map_coordinates(values, np.rint(points).astype(int).T, order=0)
        found[region] = tuple(
            float(np.isin(there, which).mean()) for which in (CEREBELLUM, CEREBELLAR_GREY)
        )
    return found


def _right(head: Head, number: int, settings: PreprocessSettings) -> list[Outcome]:
    cases = [as_it_lies(head), displaced(head), *(odd(head) if number < 2 else ())]
    return [run(case, settings) for case in cases]


def _verdict(status: SubjectStatus) -> str:
    if not status.ok:
        return f"no: {status.reason}"
    flair = status.mri[Modality.FLAIR]
    return "yes" if flair.ok or flair.state == "missing" else f"without FLAIR: {flair.reason}"


def _number(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else format(value, form)


def right(heads: list[Head], settings: PreprocessSettings, jobs: int) -> None:
    """Print the table of real heads."""
    columns = ("person", "case", "included", "Dice", "missed", *REFERENCES, "overlap", "margin",
               "FLAIR ratio", "FLAIR margin", "apart: mean / max (mm)", "s", "GB")  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|---|---|---|" + "---:|" * (len(columns) - 3))
    with ProcessPoolExecutor(jobs, max_tasks_per_child=1) as pool:
        work = [pool.submit(_right, head, n, settings) for n, head in enumerate(heads)]
        for future in work:
            outcomes = future.result()
            for outcome in outcomes:
                told, numbers, apart = outcome.against_labels, outcome.status.numbers, ""
                first = outcomes[0].where
                if outcome is not outcomes[0] and outcome.where is not None and first is not None:
                    far = np.linalg.norm(outcome.where - first, axis=1)
                    apart = f"{far.mean():.2f} / {far.max():.2f}"
                shares = [f"{told[r][0]:.3f} / {told[r][1]:.2f}" if told else ""
                          for r in REFERENCES]  # fmt: skip
                cells = (
                    outcome.person, outcome.case, _verdict(outcome.status),
                    _number(told.get("dice")), _number(told.get("missed"), ".2%"), *shares,
                    *(_number(numbers.get(key)) for key in (
                        "brain_overlap_dice", "T1w_margin", "FLAIR_registration", "FLAIR_margin")),
                    apart, f"{outcome.seconds:.0f}", f"{outcome.gigabytes:.1f}",
                )  # fmt: skip
                print("| " + " | ".join(cells) + " |", flush=True)


def wrong(heads: list[Head], settings: PreprocessSettings, jobs: int) -> None:
    """Print the table of what has to be refused."""
    keys = ("brain_overlap_dice", "T1w_margin", "T1w_registration", "T1w_half_turn",
            "FLAIR_margin", "FLAIR_registration")  # fmt: skip
    print("| person | what is wrong | accepted | " + " | ".join(keys) + " |")
    print("|---|---|---|" + "---:|" * len(keys))
    with ProcessPoolExecutor(jobs, max_tasks_per_child=1) as pool:
        for future in [pool.submit(run, case, settings) for case in controls(heads)]:
            outcome = future.result()
            cells = [_number(outcome.status.numbers.get(key)) for key in keys]
            print(f"| {outcome.person} | {outcome.case} | {_verdict(outcome.status)} | "
                  + " | ".join(cells) + " |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("right", "wrong"))
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+")
    parser.add_argument("--jobs", type=int, default=1, help="heads at a time (default: 1)")
    parser.add_argument(
        "--voxel-mm", type=float, default=2.0, help="working resolution (default: 2)"
    )
    args = parser.parse_args()
    settings = load_settings(None, PreprocessSettings)
    registration = replace(settings.registration, working_voxel_mm=args.voxel_mm)
    settings = replace(settings, registration=registration)
    heads = [head for folder in args.folders for head in people(folder)]
    {"right": right, "wrong": wrong}[args.what](heads, settings, args.jobs)


if __name__ == "__main__":
    try:
        main()
    except (ReladError, DataError) as error:
        sys.exit(f"error: {error}")
