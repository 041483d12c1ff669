"""What every job needs, from the size of its data: the one table of memory and run time.

The formulas were fitted to `benchmark:` files of finished studies and to runs with a T1w of 0.5 mm,
with 1,000 packed people, and at 2 mm, and are within a factor of two of each of these
(docs/benchmarks/resources.md, which `python -m benchmarks.resources` writes; a test holds it). A
job asks for more than its formula says: see :func:`request`. Standard library only, since the
Snakefile imports it.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relad.study.catalogue import FLOOR
from relad.study.config import training_cohort
from relad.study.sampling import Sampling, of_method

#: Of a person whose scans are not converted yet: a T1w of 1 mm.
UNKNOWN_SCAN = 256**3
#: A job asks for so many times the memory and the time of its formula, and for more if it fails.
MEMORY_HEADROOM, TIME_HEADROOM = 2.0, 4.0
#: MB of Snakemake, of which two processes run in a job on a cluster.
SNAKEMAKE_MB = 400
#: Minutes that no job asks less than, and that no job asks more than which continues where it was.
LEAST_MINUTES, MOST_MINUTES = 30, 2880
#: Minutes that no job asks less than whose time is added to that of others of its group.
LEAST_GROUPED_MINUTES = 10
#: MB of packed data that a job asks to have in memory; beyond it, the system reads them again.
MOST_MAPPED_MB = 8000


@dataclass(frozen=True)
class Size:
    """What the memory and the time of a job follow from.

    Attributes
    ----------
    subjects
        People of the cohort.
    tracers
        Tracers of the study.
    grid
        Voxels of the MNI grid.
    scan
        Voxels of a person's largest T1w or FLAIR, as it was taken.
    working
        Voxels of the T1w where it is registered, see :func:`voxels_at`.
    jobs
        Processes, each with a person at a time.
    updates
        Updates of the training.
    batch
        Volumes per update, or computed at once in synthesis.
    second
        Seconds of an update per million voxels of its batch on one core, see :func:`update_rate`.
    images
        Images that are synthesised or evaluated.
    evaluations
        Network evaluations of one image.
    trials
        Trainings of a search.
    processes
        Of a training, which share each batch.
    """

    subjects: int = 1
    tracers: int = 1
    grid: int = 0
    scan: int = UNKNOWN_SCAN
    working: int = UNKNOWN_SCAN
    jobs: int = 1
    updates: int = 0
    batch: int = 1
    second: float = 0.0
    images: int = 0
    evaluations: int = 1
    trials: int = 1
    processes: int = 1

    @property
    def tested(self) -> float:
        """People whose images these are."""
        return self.images / self.tracers

    def mapped_mb(self, people: float) -> float:
        """Packed data of some people in MB, read from disk as they are needed: MRI, PET, masks."""
        return people * self.grid * (4 * (2 + self.tracers) + 1) / 1e6

    @property
    def voxels(self) -> float:
        """Millions of voxels in a batch."""
        return self.batch * self.grid / 1e6


@dataclass(frozen=True)
class Cost:
    """Memory in MB and seconds on idle cores, from the size.

    ``mapped``: of how many people packed data are read, which count beside the memory.
    ``continues``: a job that is stopped goes on from where it was when it is started again.
    ``grouped``: on a cluster, jobs of several people are submitted as one.
    """

    memory_mb: Callable[[Size], float]
    seconds: Callable[[Size], float]
    mapped: Callable[[Size], float] = lambda s: 0
    continues: bool = False
    grouped: bool = False


M = 1e-6  # per million voxels


def _all(s: Size) -> float:
    return s.subjects


def _train_mb(s: Size) -> float:
    several = s.processes + (s.processes > 1)  # and the one that starts them
    return 380 * several + 650 * s.voxels


def _evaluate_mb(s: Size) -> float:
    return 160 + 60 * M * s.grid


def _evaluate_seconds(s: Size) -> float:
    return 1.8 + s.images * (0.02 + 0.4 * M * s.grid)


def _train_seconds(s: Size) -> float:
    return 4 + s.second * s.voxels * s.updates / s.processes


#: Step -> what it costs. MB and seconds per million voxels, person or image.
COSTS: dict[str, Cost] = {
    "phantom": Cost(lambda s: 100 + 790 * s.jobs, lambda s: 5 + 2.8 * s.subjects / s.jobs),
    "ingest": Cost(
        lambda s: 200 + s.jobs * (70 + 12 * M * s.scan),
        lambda s: 1 + s.subjects * (2 + 0.6 * M * s.scan) / s.jobs,
    ),
    "enroll": Cost(lambda s: 60, lambda s: 0.3 + 0.002 * s.subjects),
    "register": Cost(
        lambda s: 850 + 24 * M * s.scan + 20 * M * s.working,
        lambda s: 15 + 0.7 * M * s.scan + 6.5 * M * s.working,
        grouped=True,
    ),
    "normalize": Cost(
        lambda s: 430 + 27 * M * s.scan + 16 * M * s.grid * (3 + s.tracers),
        lambda s: 5 + 0.2 * M * s.scan + 0.5 * M * s.grid * (3 + s.tracers),
        grouped=True,
    ),
    "qc": Cost(lambda s: 80 + 0.05 * s.subjects, lambda s: 0.3 + 0.01 * s.subjects),
    "pack": Cost(
        lambda s: 90,
        lambda s: 0.8 + 0.07 * M * s.subjects * s.grid * (3 + s.tracers),
    ),
    "train": Cost(_train_mb, _train_seconds, mapped=_all, continues=True),
    "search": Cost(_train_mb, lambda s: s.trials * _train_seconds(s), mapped=_all, continues=True),
    "tune": Cost(lambda s: 100, lambda s: 1),
    "synthesize": Cost(
        lambda s: 370 + 150 * s.voxels,
        lambda s: 2.7 + s.images * (0.02 + 0.18 * M * s.grid * s.evaluations),
        mapped=_all,
    ),
    # A person at a time. The ceiling as if it were a method's.
    "evaluate": Cost(_evaluate_mb, _evaluate_seconds, mapped=lambda s: 1),
    "ceiling": Cost(_evaluate_mb, _evaluate_seconds, mapped=lambda s: 1),
    "derivatives": Cost(
        lambda s: 430 + 27 * M * s.scan, lambda s: 5 + s.subjects * (5 + 0.2 * M * s.scan)
    ),
    # One of them compares with what MRI alone tells, everybody's.
    "tables": Cost(
        lambda s: 155 + 0.002 * s.images, lambda s: 1.2 + 0.0001 * s.images, mapped=_all
    ),
    "figures": Cost(lambda s: 270 + 0.002 * s.images, lambda s: 3.2 + 0.0002 * s.images),
    "report": Cost(lambda s: 200 + 0.01 * s.images, lambda s: 2 + 0.0005 * s.images),
    "paper": Cost(lambda s: 150, lambda s: 2),
}  # fmt: skip


def estimate(step: str, size: Size) -> tuple[float, float]:
    """MB that a job has in memory at most, and its seconds on idle cores."""
    cost = COSTS[step]
    return cost.memory_mb(size) + size.mapped_mb(cost.mapped(size)), cost.seconds(size)


def request(step: str, size: Size, attempt: int = 1) -> tuple[int, int]:
    """MB and minutes that a job asks for; with every attempt as much again.

    Of packed data only so much counts, :data:`MOST_MAPPED_MB`, and without headroom. A job that
    goes on from where it was never asks for more than :data:`MOST_MINUTES`.
    """
    cost = COSTS[step]
    mapped = min(size.mapped_mb(cost.mapped(size)), MOST_MAPPED_MB)
    memory = MEMORY_HEADROOM * cost.memory_mb(size) + mapped + SNAKEMAKE_MB
    least = LEAST_GROUPED_MINUTES if cost.grouped else LEAST_MINUTES
    minutes = max(least, TIME_HEADROOM * cost.seconds(size) / 60) * attempt
    if cost.continues:
        minutes = min(minutes, MOST_MINUTES)
    return math.ceil(memory / 100) * 100 * attempt, math.ceil(minutes)


# --- where sizes come from -----------------------------------------------------------------------

#: Seconds of an update per million voxels of its batch, on one core, by family of methods. With an
#: adversary a diffusion takes as much longer as :data:`ADVERSARY` says.
RATES = {FLOOR: 0.0, "regression": 0.28, "diffusion": 0.28, "gan": 1.6, "other": 1.6}
ADVERSARY = 2.7


def update_rate(entry: Mapping[str, Any]) -> float:
    """Seconds of an update per million voxels, from a method's resolved entry."""
    params = entry["params"]
    adversary = "discriminator" in params and params.get("lambda_adv", 1) > 0
    rate = RATES[entry["family"]]
    return rate * ADVERSARY if entry["family"] == "diffusion" and adversary else rate


def size_of(
    step: str,
    study: Mapping[str, Any],
    subjects: Mapping[str, Sequence[str]],
    wildcards: Mapping[str, str],
    *,
    jobs: int = 1,
    scan: tuple[int, float] | None = None,
) -> Size:
    """Size of a job of the workflow.

    Parameters
    ----------
    step
        One of :data:`COSTS`.
    study
        Resolved configuration.
    subjects
        Labels of every cohort's people.
    wildcards
        Of the job; ``cohort``, ``method`` and ``sampler`` are read.
    jobs
        Its processes.
    scan
        What :func:`largest_scan` says of its person; None where that is not known yet.
    """
    cohort = wildcards.get("cohort") or training_cohort(study)
    role = study["cohorts"].get(cohort, {}).get("role")
    people = len(subjects.get(cohort, ()))
    if step in ("tables", "figures", "report", "paper"):
        people, methods = sum(map(len, subjects.values())), len(study["methods"])
    else:
        methods = 1
    in_folds = role == "train" and methods == 1 and step != "ceiling"
    tested = -(-people // study["folds"]["count"]) if in_folds else people
    voxels, extent = scan or (UNKNOWN_SCAN, float(UNKNOWN_SCAN))
    size = Size(
        subjects=people,
        tracers=len(study["tracers"]),
        grid=math.prod(study["grid"]["shape"]),
        scan=voxels,
        working=voxels_at(voxels, extent, study["registration"]["working_voxel_mm"]),
        jobs=jobs,
        images=tested * len(study["tracers"]) * methods,
    )
    entry = study["methods"].get(wildcards.get("method", ""))
    if entry is None or step not in ("train", "search", "synthesize"):
        return size
    if step == "synthesize":
        return replace(
            size,
            batch=min(study["sampling"]["batch_size"], size.images),
            evaluations=_evaluations(study, entry, wildcards.get("sampler")),
        )
    training, tuning = study["training"], study["tuning"]
    updates = entry["updates"] or training["updates"]
    return replace(
        size,
        updates=(tuning["updates"] or updates) if step == "search" else updates,
        batch=training["batch_size"],
        second=update_rate(entry),
        trials=tuning["trials"],
        processes=training["processes"] if step == "train" else 1,
    )


def _evaluations(study: Mapping[str, Any], entry: Mapping[str, Any], sampler: str | None) -> int:
    """Network evaluations of one image; of a method that does not sample, one."""
    usual = of_method(study, entry)
    if usual is None:
        return 1
    return (Sampling.parse(sampler) if sampler else usual).evaluations


def voxels_at(scan: int, extent_mm3: float, voxel_mm: float) -> int:
    """Voxels of a scan on a grid of ``voxel_mm``, to which a coarser one is not brought."""
    return min(scan, round(extent_mm3 / voxel_mm**3))


class Scans:
    """The largest T1w or FLAIR of people in BIDS.

    Every job of a person asks several times, and a file system may be far away: what was found is
    kept. What was not there may be by the next time.
    """

    def __init__(self) -> None:
        self._found: dict[Path, tuple[int, float]] = {}

    def largest(self, person: Path) -> tuple[int, float] | None:
        """As :func:`largest_scan`, of the images in a person's folder ``sub-*``."""
        if person not in self._found:
            images = (i for folder in ("anat", "*/anat") for i in person.glob(f"{folder}/*.nii*"))
            if (seen := largest_scan(images)) is None:
                return None
            self._found[person] = seen
        return self._found[person]


def largest_scan(files: Iterable[Path]) -> tuple[int, float] | None:
    """Voxels of the largest of some NIfTI images, and its volume in mm3; None if there is none.

    Only headers are read; what cannot be read is passed over.
    """
    found = [seen for file in files if (seen := _header(file)) is not None]
    return max(found, default=None)


def _header(file: Path) -> tuple[int, float] | None:
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rb") as image:
            header = image.read(108)
    except (OSError, EOFError):
        return None
    order = next((o for o in "<>" if header[:4] == struct.pack(f"{o}i", 348)), None)
    if order is None or len(header) < 108:
        return None
    shape = struct.unpack(f"{order}3h", header[42:48])
    edges = struct.unpack(f"{order}3f", header[80:92])
    voxels = math.prod(shape)
    return voxels, voxels * math.prod(map(abs, edges))
