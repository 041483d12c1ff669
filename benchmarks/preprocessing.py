"""Time of preprocessing one person against plain registration calls for the same images.

  python -m benchmarks.preprocessing results/bids/sim-train
  python -m benchmarks.preprocessing ~/heads --subjects 3 --output docs/benchmarks/preprocessing.md

SOURCE is a BIDS dataset, or a folder of folders that each hold one T1w and one FLAIR. For each
person, in one process and in turn, repetition by repetition:

- relad: all of `relad preprocess`: bias correction, brain extraction, every registration, motion
  between PET frames, resampling to MNI, SUVR, quality control with its picture, files written
- plain: nothing but `ants.registration` calls for the same registrations, images read beforehand:
  antsRegistrationSyNQuick[s] from T1w to MNI152, antsRegistrationSyNQuick[r] from FLAIR and from
  each PET's mean to T1w. Once on images brought to the working resolution of the configuration,
  and once on the images as they are.

Wall-clock and processor time are both given; on a busy machine trust the latter. The ratio is the
sum over people of relad's best time by that of the plain calls' best.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np

from relad.errors import DataError, ReladError
from relad.fileio import write_text
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.registration import engine, inputs
from relad.status import Kind, is_simulated, note_of
from relad.steps.preprocess import preprocess
from relad.study.config import load_settings
from relad.study.settings import PreprocessSettings
from relad.study.subjects import cohort_subjects

#: Contestant -> how it is named in the table.
NAMES = {
    "relad": "relad preprocess (everything)",
    "plain": "plain calls, working resolution",
    "native": "plain calls, images as they are",
}
Times = dict[str, list[tuple[float, float]]]


def sessions(source: Path, tracers: dict[str, Any]) -> dict[str, inputs.Session]:
    """People found below a folder, by label.

    Raises
    ------
    ReladError
        Where there is nobody.
    """
    found: dict[str, inputs.Session] = {}
    if (source / "dataset_description.json").exists():
        for label in cohort_subjects("source", {"source": "bids", "path": source}):
            try:
                found[label] = inputs.choose_session(source, label, tracers)
            except DataError as error:
                print(f"left out: {error}", file=sys.stderr)
    else:
        for folder in sorted(path for path in source.iterdir() if path.is_dir()):
            images = {
                kind: [f for f in sorted(folder.glob("*.nii*")) if kind in f.name.lower()]
                for kind in ("t1w.nii", "flair.nii")
            }
            if all(len(files) == 1 for files in images.values()):
                (t1w,), (flair,) = images.values()
                label = "".join(filter(str.isalnum, folder.name))
                found[label] = inputs.Session(None, t1w, flair, {}, None)
    if not found:
        raise ReladError("holds nobody with a T1w", file=source)
    return found


def as_ants(image: nib.Nifti1Image, voxel_mm: float | None) -> ants.ANTsImage:
    """The image as it is, or brought to a working resolution as relad brings it there."""
    if voxel_mm is not None:
        return engine.working_copy(image, voxel_mm)
    return engine.to_ants(np.asarray(image.dataobj), image.affine)


def plain_calls(
    session: inputs.Session, tracers: dict[str, Any], voxel_mm: float | None
) -> Callable[[], None]:
    """Read a person's images; return what runs the bare registrations."""
    t1w = as_ants(load_nifti(session.t1w, ndim=3), voxel_mm)
    moving = [] if session.flair is None else [as_ants(load_nifti(session.flair), voxel_mm)]
    for tracer, path in session.pets.items():
        image = load_nifti(path)
        data = np.asarray(image.dataobj)
        if data.ndim == 4:
            window = tracers[tracer].frames_min
            chosen = inputs.choose_frames(inputs.sidecar(path), data.shape[3], window)
            data = data[..., chosen.indices].mean(axis=-1)
        moving.append(as_ants(nib.Nifti1Image(data, image.affine), voxel_mm))
    mni = as_ants(atlas.mni("t1"), voxel_mm)

    def run() -> None:
        with tempfile.TemporaryDirectory() as name:
            ants.registration(
                mni, t1w, "antsRegistrationSyNQuick[s]", outprefix=f"{name}/mni", random_seed=1
            )
            for i, image in enumerate(moving):
                ants.registration(
                    t1w,
                    image,
                    "antsRegistrationSyNQuick[r]",
                    outprefix=f"{name}/{i}",
                    random_seed=1,
                )

    return run


def clocked(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock and processor seconds of some work."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def measure(
    people: dict[str, inputs.Session],
    settings: PreprocessSettings,
    *,
    repeats: int,
    native: bool,
) -> dict[str, Times]:
    """Person -> contestant -> (wall-clock, processor) seconds of each repetition."""
    voxel_mm = settings.registration.working_voxel_mm
    found: dict[str, Times] = {}
    for label, session in people.items():
        contestants: dict[str, Callable[[], Any]] = {
            "relad": lambda s=session, label=label: full(s, label, settings),
            "plain": plain_calls(session, settings.tracers, voxel_mm),
        }
        if native:
            contestants["native"] = plain_calls(session, settings.tracers, None)
        found[label] = {name: [] for name in contestants}
        for repeat in range(repeats):
            for name, work in contestants.items():
                seconds = clocked(work)
                found[label][name].append(seconds)
                print(f"{label} {repeat + 1}/{repeats} {name}: {seconds[0]:.1f} s wall, "
                      f"{seconds[1]:.1f} s processor", file=sys.stderr)  # fmt: skip
    return found


def full(session: inputs.Session, label: str, settings: PreprocessSettings) -> None:
    atlas.forget()  # in a workflow, each person is a process that computes the atlas anew
    with tempfile.TemporaryDirectory() as name:
        preprocess(session, Path(name) / "out", label, settings)


def table(times: dict[str, Times], people: dict[str, inputs.Session], note: str) -> str:
    """Markdown of the measurement."""
    names = list(next(iter(times.values())))
    best = {
        label: {name: np.min(repeats, axis=0) for name, repeats in of_one.items()}
        for label, of_one in times.items()
    }
    lines = ["# Preprocessing time", "", note, ""]
    lines += ["| person | registrations | " + " | ".join(NAMES[n] for n in names) + " |"]
    lines += ["|---|---|" + "---:|" * len(names)]
    for label, of_one in best.items():
        session = people[label]
        done = ["T1w to MNI"] + (["FLAIR to T1w"] if session.flair else [])
        done += [f"{tracer} PET to T1w" for tracer in session.pets]
        cells = [f"{wall:.1f} s ({processor:.1f} s)" for wall, processor in of_one.values()]
        lines.append(f"| {label} | {', '.join(done)} | " + " | ".join(cells) + " |")
    total = {name: sum(of_one[name] for of_one in best.values()) for name in names}
    for kind, i in (("wall-clock", 0), ("processor", 1)):
        ratios = " | ".join(f"{total['relad'][i] / total[name][i]:.2f}" for name in names)
        lines.append(f"| **ratio, {kind}** | relad by each | {ratios} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preprocessing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", type=Path)
    parser.add_argument("--settings", metavar="FILE", help="a study's configuration")
    parser.add_argument("--subjects", type=int, default=2, help="people measured (default: 2)")
    parser.add_argument("--repeats", type=int, default=2, help="repetitions (default: 2)")
    parser.add_argument("--no-native", action="store_true", help="without images as they are")
    parser.add_argument("--output", metavar="FILE", type=Path, help="Markdown to write as well")
    args = parser.parse_args()
    settings = load_settings(args.settings, PreprocessSettings)
    engine.configure(settings.registration.threads, settings.seed)
    found = sessions(args.source, settings.tracers)
    people = dict(list(found.items())[: args.subjects])
    times = measure(people, settings, repeats=args.repeats, native=not args.no_native)
    registration = settings.registration
    kinds = {
        Kind.of_scans(
            [("T1w", is_simulated(session.t1w))]
            + [("PET", is_simulated(path)) for path in session.pets.values()]
        )
        for session in people.values()
    }
    note = (
        f"{note_of(kinds)} Best of {args.repeats}, wall-clock seconds "
        f"(processor seconds), {registration.threads} ITK thread(s), working resolution "
        f"{registration.working_voxel_mm:g} mm, antspyx {version('antspyx')}, "
        f"Python {platform.python_version()}, {platform.machine()}.\n"
        f"Made by `python -m benchmarks.preprocessing {args.source.name}`; `--help` says what is "
        "compared."
    )
    text = table(times, people, note)
    print(text)
    if args.output is not None:
        write_text(args.output, text)


if __name__ == "__main__":
    try:
        main()
    except ReladError as error:
        sys.exit(f"error: {error}")
