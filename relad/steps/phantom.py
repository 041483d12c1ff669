"""Simulate a multi-tracer study and write it as a download from LONI.

ADNI may not be handed on, so a fresh clone makes its own study: every subject is the MNI152 brain
under a random affine and diffeomorphism, with skull, scalp, ageing, a stage of disease and
white-matter lesions. T1w, T2-FLAIR and one dynamic PET scan per tracer are taken in poses,
orientations and voxel sizes of their own.

  OUT/loni/<subject>/<description>/<time>/I<id>/*.dcm   DICOM series, as LONI lays them out
  OUT/collection.csv                                    LONI's list of them
  OUT/truth/sub-<label>/                                what no patient's scan would tell: poses,
                                                        warp, brain mask, noise-free SUVR
  OUT/provenance.json

No later step reads truth/. A subject depends on the seed, the cohort's name and its own number
alone: not on --jobs, and not on how many others there are.

Example: relad phantom results/raw/sim-train --cohort sim-train --jobs 4
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from relad import cli, fileio
from relad.cohort.sources.phantom import ptids
from relad.errors import ReladError
from relad.status import Kind
from relad.study.config import load_settings
from relad.study.provenance import describe
from relad.study.settings import PhantomSettings, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``relad phantom``."""
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write, replaced if there")
    parser.add_argument(
        "--cohort", required=True, metavar="NAME", help="a cohort of the settings, source: phantom"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="subjects at a time (default: 1)"
    )
    cli.add_settings(parser)


def run(args: argparse.Namespace) -> None:
    """Run ``relad phantom``."""
    simulate(args.out, args.cohort, load_settings(args.settings, PhantomSettings), jobs=args.jobs)


def simulate(out: Path, cohort: str, settings: PhantomSettings, *, jobs: int = 1) -> None:
    """Write a simulated cohort.

    Parameters
    ----------
    out
        Folder to write; it appears only when it is complete.
    cohort
        Name of the cohort's entry in ``settings``.
    settings
        Seed, tracers and cohorts.
    jobs
        Processes; the result does not depend on it.

    Raises
    ------
    ReladError
        Where the settings name no such phantom cohort, scanner or tracer.
    """
    from relad.cohort.phantom import pet, scanners, study

    if cohort not in settings.cohorts or settings.cohorts[cohort].phantom is None:
        known = [name for name, entry in settings.cohorts.items() if entry.phantom]
        raise ReladError(
            f"the settings have no cohort {cohort!r} of the source 'phantom'",
            hint=f"simulated cohorts: {', '.join(known) or 'none'}",
        )
    phantom = settings.cohorts[cohort].phantom
    unknown = sorted(set(settings.tracers) - set(pet.TRACERS))
    if unknown:
        raise ReladError(
            f"no phantom is known for the tracers {unknown}",
            hint=f"known: {', '.join(pet.TRACERS)}",
        )
    if jobs < 1:
        raise ReladError(f"--jobs is {jobs}", hint="give a number of 1 or more")
    plan = study.Plan(settings.seed, cohort, scanners.scanner(phantom.scanner), settings.tracers)
    people = ptids(phantom.subjects, phantom.site)
    with fileio.whole_folder(out, mark="collection.csv") as folder:
        rows = [row for rows in _subjects(plan, people, folder, jobs) for row in rows]
        fileio.write_table(folder / "collection.csv", rows, study.COLUMNS)
        packages = ("numpy", "scipy", "nilearn", "pydicom")
        used = plain(settings) | {"cohorts": {cohort: plain(settings.cohorts[cohort])}}
        made_by = describe("phantom", used, *packages)
        fileio.write_json(folder / "provenance.json", {"kind": Kind.SIMULATED, **made_by})


def _subjects(plan: Any, people: list[str], folder: Path, jobs: int) -> Iterator[list[dict]]:
    """Write every subject, in parallel; yield their rows of the collection in order."""
    from tqdm import tqdm

    from relad.cohort.phantom import study, template

    def progress(results: Iterator[list[dict]]) -> tqdm:
        pause = 0.5 if sys.stderr.isatty() else 15
        return tqdm(
            results, total=len(people), desc=plan.cohort, unit="subject", mininterval=pause,
            file=sys.stderr,
        )  # fmt: skip

    write = partial(study.write_subject, plan, out=folder)
    # Built before the processes split, so that they share it where the system can fork.
    template.template()
    if jobs == 1:
        yield from progress(map(write, people))
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(min(jobs, len(people)), mp_context=context) as pool:
        yield from progress(pool.map(write, people))
