"""Simulate a multi-tracer study and write it as a download from LONI.

ADNI may not be handed on, so a fresh clone makes its own study: every subject is the MNI152 brain
under a random affine and diffeomorphism, with skull, scalp, ageing, a stage of disease and
white-matter lesions. T1w, T2-FLAIR and one dynamic PET scan per tracer are taken in poses,
orientations and voxel sizes of their own.

With --heads (or `heads` in the settings) people are real: PET is simulated in their own anatomy,
and their MRI is copied as it is. The folder has NiChart's names (CBICA/NiChart_Project on GitHub
makes such files of any T1w and FLAIR): participants.csv with the columns MRID, Age and Sex, and per
person <MRID>_T1.nii.gz, <MRID>_T1_DLMUSE.nii.gz (labels on its grid), <MRID>_FL.nii.gz and
<MRID>_FL_DLWMLS.nii.gz (hyperintensities on its grid; who has no FLAIR goes without both). Labels
other than MUSE's are named <MRID>_T1_labels.nii.gz and told by labels.tsv in the folder: index,
region, hemisphere (left, right or n/a). Stage and vascular load follow from the person's volumes,
age and lesions; part of the uptake follows from nothing on MRI.

  OUT/loni/<subject>/<description>/<time>/I<id>/*.dcm   series, as LONI lays them out; real MRI as
                                                        *.nii, its date made up
  OUT/collection.csv                                    LONI's list of them
  OUT/truth/sub-<label>/                                what no patient's scan would tell: poses,
                                                        warp, masks, labels, noise-free SUVR, and
                                                        what anatomy determines of it
  OUT/provenance.json

Of truth/, what anatomy determines (desc-predictable, on each PET's grid) goes along with the PET,
to stand in the tables as the ceiling of what a method could reach; no method is given it. No later
step reads anything else of it. A subject depends on the seed, the cohort's name and its own number
(of real people: their own id and images) alone: not on --jobs, and not on how many others there
are.

Examples: relad phantom results/raw/sim-train --cohort sim-train --jobs 4
          relad phantom results/raw/hybrid --cohort hybrid --heads heads
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from relad import cli, fileio
from relad.cohort.sources.phantom import people
from relad.errors import DataError, MachineError, ReladError
from relad.orphans import pool
from relad.status import Kind
from relad.study.config import load_settings
from relad.study.provenance import describe
from relad.study.settings import Phantom, PhantomSettings, SimulatedCohort, plain

#: FLAIR and T1w are compared at this voxel edge in mm to find where the hyperintensities lie.
FLAIR_VOXEL_MM = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``relad phantom``."""
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write, replaced if there")
    parser.add_argument(
        "--cohort", required=True, metavar="NAME",
        help="a cohort of the settings, source: phantom; any name with --heads",
    )  # fmt: skip
    parser.add_argument(
        "--heads", metavar="FOLDER", help="simulate PET of these people (default: as the settings)"
    )
    parser.add_argument(
        "--jobs",
        type=cli.whole_number(1),
        default=1,
        metavar="N",
        help="subjects at a time (default: 1)",
    )
    cli.add_settings(parser)


def run(args: argparse.Namespace) -> None:
    """Run ``relad phantom``."""
    settings = load_settings(args.settings, PhantomSettings)
    if args.heads is not None:
        settings = with_heads(settings, args.cohort, args.heads)
    simulate(args.out, args.cohort, settings, jobs=args.jobs)


def with_heads(settings: PhantomSettings, cohort: str, heads: str) -> PhantomSettings:
    """Settings whose cohort has a folder of heads; on scanner alpha where there is no such one."""
    known = settings.cohorts.get(cohort)
    phantom = known.phantom if known else None
    phantom = phantom or Phantom(subjects=None, heads=None, site=None, scanner="alpha")
    of_heads = replace(phantom, subjects=None, heads=heads)
    return replace(settings, cohorts={cohort: SimulatedCohort("phantom", of_heads)})


def simulate(out: Path, cohort: str, settings: PhantomSettings, *, jobs: int = 1) -> None:
    """Write a simulated cohort, or a hybrid one.

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
        Where the settings name no such phantom cohort, scanner or tracer, or a person's head cannot
        be used.
    """
    from relad.cohort.phantom import hybrid, pet, scanners, study

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
    own = [name for name, t in settings.tracers.items() if not isinstance(t.reference_region, str)]
    if own:
        raise ReladError(
            f"PET is simulated by relad's own reference regions, and {own[0]} has another",
            hint="name one, see docs/configuration.md",
        )
    plan = study.Plan(settings.seed, cohort, scanners.scanner(phantom.scanner), settings.tracers)
    everybody = people(plain(phantom))
    real = phantom.heads is not None
    columns = hybrid.COLUMNS if real else study.COLUMNS
    with fileio.whole_folder(out, mark="collection.csv") as folder:
        write = partial(_write_head if real else study.write_subject, plan, out=folder)
        rows = [row for rows in _subjects(write, everybody, cohort, jobs) for row in rows]
        fileio.write_table(folder / "collection.csv", rows, columns)
        packages = ("numpy", "scipy", "nilearn", "pydicom", *(("nibabel", "antspyx") * real))
        used = plain(settings) | {"cohorts": {cohort: plain(settings.cohorts[cohort])}}
        made_by = describe("phantom", used, *packages)
        kind = Kind.HYBRID if real else Kind.SIMULATED
        fileio.write_json(folder / "provenance.json", {"kind": kind, **made_by})


def _write_head(plan: Any, one: Any, *, out: Path) -> list[dict]:
    """Write one real head with its PET; its FLAIR is registered for where the lesions are."""
    import numpy as np

    from relad.cohort.phantom import heads, hybrid

    images = heads.read(one)
    to_flair = np.eye(4)
    if images.flair is not None:
        to_flair = _to_flair(images, one, plan.seed)
    return hybrid.write_subject(plan, one, images, to_flair, out)


def _to_flair(images: Any, one: Any, seed: int) -> Any:
    """Rigid (4, 4) map of points of the T1w to the FLAIR: headers were up to 23 mm off."""
    import numpy as np

    from relad.registration import engine
    from relad.steps.coregister import Moving, coregister

    engine.configure(1, seed)
    flair = images.flair
    moving = Moving([np.asarray(flair.dataobj)], flair.affine, [np.eye(4)], [1.0], pet=False)
    matrix, margin, pose = coregister(images.t1w, moving, voxel_mm=FLAIR_VOXEL_MM, seed=seed)
    if margin <= 0:
        raise DataError(
            f"fits {one.t1w.name} better when {pose}: the registration failed",
            file=one.flair,
            hint="look at both images, or take the person's FLAIR and hyperintensities away",
        )
    return matrix


def _subjects(
    write: Callable[[Any], list[dict]], everybody: list[Any], cohort: str, jobs: int
) -> Iterator[list[dict]]:
    """Write every subject, in parallel; yield their rows of the collection in order."""
    from tqdm import tqdm

    from relad.cohort.phantom import template

    def progress(results: Iterator[list[dict]]) -> tqdm:
        pause = 0.5 if sys.stderr.isatty() else 15
        return tqdm(
            results, total=len(everybody), desc=cohort, unit="subject", mininterval=pause,
            file=sys.stderr,
        )  # fmt: skip

    if isinstance(everybody[0], str):
        # Built before the processes split, so that they share it where the system can fork.
        template.template()
    if jobs == 1:
        yield from progress(map(write, everybody))
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(method)
    with pool(min(jobs, len(everybody)), mp_context=context) as processes:
        try:
            yield from progress(processes.map(write, everybody))
        except BrokenProcessPool:
            raise MachineError(
                "a process that simulated a subject was ended",
                hint="it may need more memory than there is: try fewer --jobs, then run the same "
                "again",
            ) from None
