"""What a thousand people cost: planning, disk, the workflow's own time, and a run on a cluster.

Plans a study of made-up people (no scans are made: they are counted) through the SLURM profile,
measures what a finished study left, and simulates the run of one of ``--simulate`` people on nodes
of eight cores, each job as long as relad/study/resources.py says. Writes scale.md into the folder
of ``--report``.

    python -m benchmarks.scale results --config config/config.yaml --elapsed 1185 --cores 2 \\
        --report docs/benchmarks
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.report import printed, table
from relad.errors import ReladError
from relad.fileio import read_table, write_text
from relad.study import catalogue, config, paths, resources
from relad.study.paths import REPOSITORY
from relad.study.settings import ResultSettings, typed

PROFILE = REPOSITORY / "workflow" / "profiles" / "slurm"
#: Cores of a node, in plans and simulations.
NODE = 8
#: Steps that run in as many processes as the workflow gives them.
SEVERAL = {"phantom": 4, "ingest": 4}
#: Seconds until a submitted job is begun and its end is seen, on a private SLURM.
LATENCY = 20.0


# --- planning ------------------------------------------------------------------------------------


def study_of(people: int, given: Path) -> dict[str, Any]:
    """A study file with that many made-up people, a fifth of them in its external cohorts.

    Raises
    ------
    ReladError
        Where its people are not counted.
    """
    study = config.read_yaml(given)
    others = [c for c, entry in study["cohorts"].items() if entry["role"] != "train"]
    for name, entry in study["cohorts"].items():
        if "subjects" not in entry.get("phantom", {}):
            raise ReladError(f"people of cohort {name} are not counted", file=given)
        apart = people // 5 // len(others) if others else 0
        entry["phantom"]["subjects"] = apart if name in others else people - apart * len(others)
    return study


def plan(people: int, given: Path) -> dict[str, Any]:
    """Dry-run a study of that many people through the SLURM profile."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "study.json")  # which is YAML too
        write_text(file, json.dumps(study_of(people, given)))
        words = [sys.executable, "-m", "snakemake", "-n", "all", "--cores", str(NODE)]
        words += ["--snakefile", str(REPOSITORY / "workflow" / "Snakefile")]
        words += ["--workflow-profile", str(PROFILE), "--configfile", str(file)]
        said = Path(folder, "said.txt")
        started = time.perf_counter()
        with said.open("w") as out:
            process = subprocess.Popen(words, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        text = said.read_text(encoding="utf-8")
    if status:
        raise ReladError(f"Snakemake did not plan {people} people: {text[-500:]}")
    of_people, other = (
        int(re.findall(rf"^submissions {what}: (\d+)", text, flags=re.MULTILINE)[0])
        for what in ("of people", "other")
    )
    return {
        "people": people,
        "seconds": f"{seconds:.1f}",
        "processor (s)": f"{used.ru_utime + used.ru_stime:.1f}",
        "memory (MB)": f"{used.ru_maxrss / 1024:.0f}",
        "jobs": re.findall(r"^total +(\d+)$", text, flags=re.MULTILINE)[0],
        "submissions of people": of_people,
        "other submissions": other,
    }


# --- a finished study ----------------------------------------------------------------------------


def measured(results: Path) -> dict[str, list[float]]:
    """Seconds of every job of a finished study, by step."""
    found = defaultdict(list)
    folder = results / paths.benchmark("any").relative_to(paths.RESULTS).parents[1]
    for file in sorted(folder.glob("*/*.tsv")):
        (row,) = read_table(file)
        found[file.parent.name].append(float(str(row["s"])))
    return found


def overhead(times: Mapping[str, Sequence[float]], elapsed: float, cores: int) -> tuple[int, float]:
    """Jobs of a run from nothing, and core seconds without a job by those with one."""
    busy = sum(min(SEVERAL.get(step, 1), cores) * sum(of) for step, of in times.items())
    return sum(map(len, times.values())), (cores * elapsed - busy) / busy


def disk(results: Path) -> list[dict[str, Any]]:
    """MB that each stage takes per person."""
    rows = []
    people = len(list((results / "normalized").glob("*/sub-*")))
    for stage in ("raw", "bids", "registered", "normalized", "packed", "synthesized", "qc"):
        used = sum(
            file.stat().st_blocks * 512
            for file in (results / stage).rglob("*")
            if file.is_file() and not file.is_symlink()
        )
        rows.append({"stage": stage, "MB per person": f"{used / 1e6 / people:.1f}"})
    return rows


# --- a run that was not made ---------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """A submission: its step, cores, seconds, and the submissions it needs."""

    step: str
    cores: int
    seconds: float
    needs: tuple[int, ...] = ()


def submissions(people: int, given: Path) -> list[Work]:
    """Every submission of a study, in an order in which they can run."""
    study = config.resolve(study_of(people, given), file=given)
    labels = {c: range(e["phantom"]["subjects"]) for c, e in study["cohorts"].items()}
    profile = config.read_yaml(PROFILE / "config.yaml")
    (together,), at_once = profile["group-components"].values(), profile["resources"]["people"]
    works: list[Work] = []

    def add(step: str, needs: Iterable[int], cores: int = 1, **wildcards: str) -> int:
        size = resources.size_of(step, study, labels, wildcards, jobs=cores)
        return put(Work(step, cores, resources.estimate(step, size)[1], tuple(needs)))

    def put(work: Work) -> int:
        works.append(work)
        return len(works) - 1

    packed = {}
    for cohort, everybody in labels.items():
        raw = add("phantom", (), SEVERAL["phantom"], cohort=cohort)
        bids = add("ingest", [raw], SEVERAL["ingest"], cohort=cohort)
        enrolled = add("enroll", [bids], cohort=cohort)
        size = resources.size_of("register", study, labels, {"cohort": cohort})
        one = sum(resources.estimate(step, size)[1] for step in ("register", "normalize"))
        groups = []
        for first in range(0, len(everybody), together):
            of_group = min(together, len(everybody) - first)
            layers = -(-of_group // at_once)
            cores = min(at_once, of_group)
            groups.append(put(Work("register and normalize", cores, layers * one, (enrolled,))))
        packed[cohort] = add("pack", [add("qc", groups, cohort=cohort)], cohort=cohort)
    train = config.training_cohort(study)
    of_all = [m for m, e in study["methods"].items() if {"main", "ablation"} & set(e["groups"])]
    evaluated, models = [], {}
    for fold in map(str, study["folds"]["run"]):
        for seed in map(str, study["seeds"]):
            for method in of_all:
                own = study["methods"][method]["trained_as"]
                run = {"fold": fold, "seed": seed}
                key = (own, fold, seed)
                if key not in models:
                    threads = study["training"]["threads"]
                    models[key] = add("train", [packed[train]], threads, method=own, **run)
                ablates = "main" not in study["methods"][method]["groups"]
                for cohort in [train] if ablates else labels:
                    run |= {"cohort": cohort, "method": method}
                    images = add("synthesize", [models[key], packed[cohort]], **run)
                    evaluated.append(add("evaluate", [images], **run))
    evaluated += [add("ceiling", [packed[c]], cohort=c) for c in labels]
    step_of = {catalogue.TABLE: "tables", catalogue.FIGURE: "figures"}
    methods = typed(ResultSettings, study).methods
    shown = [r for kind in step_of for r in catalogue.of_study(kind, methods).values()]
    made = [add(step_of[r.kind], evaluated, name=r.name) for r in shown if r.of_all]
    add("report", made)
    add("paper", made)
    return works


def simulate(works: Sequence[Work], nodes: int) -> tuple[float, Counter[str]]:
    """Run submissions on nodes, those first from which most time follows; seconds, and their path.

    The path goes back from the last one to end: to what it waited for, a submission it needs or,
    as ``waiting for cores``, the nodes.
    """
    follows = [0.0] * len(works)
    for i in reversed(range(len(works))):
        follows[i] += LATENCY + works[i].seconds
        for need in works[i].needs:
            follows[need] = max(follows[need], follows[i])
    lacking = [len(work.needs) for work in works]
    after = defaultdict(list)
    for i, work in enumerate(works):
        for need in work.needs:
            after[need].append(i)
    free = [NODE] * nodes
    ready = [(-follows[i], i) for i, n in enumerate(lacking) if not n]
    heapq.heapify(ready)
    running: list[tuple[float, int, int]] = []
    began, ended, now = {}, {}, 0.0
    while ready or running:
        left = []
        while ready:
            order, i = heapq.heappop(ready)
            node = max(range(nodes), key=free.__getitem__)
            if free[node] < min(works[i].cores, NODE):
                left.append((order, i))
                continue
            free[node] -= min(works[i].cores, NODE)
            began[i] = now
            heapq.heappush(running, (now + LATENCY + works[i].seconds, i, node))
        ready = left
        heapq.heapify(ready)
        now, i, node = heapq.heappop(running)
        ended[i] = now
        free[node] += min(works[i].cores, NODE)
        for other in after[i]:
            lacking[other] -= 1
            if not lacking[other]:
                heapq.heappush(ready, (-follows[other], other))
    path: Counter[str] = Counter()
    last: int | None = max(ended, key=ended.__getitem__)
    while last is not None:
        path[works[last].step] += ended[last] - began[last]
        needed = max(works[last].needs, key=ended.__getitem__, default=None)
        path["waiting for cores"] += began[last] - (0.0 if needed is None else ended[needed])
        last = needed
    return now, path


# --- the report ----------------------------------------------------------------------------------


def page(args: argparse.Namespace) -> str:
    plans = [plan(people, args.config) for people in args.people]
    jobs, share = overhead(measured(args.results), args.elapsed, args.cores)
    works = submissions(args.simulate, args.config)
    runs = []
    for nodes in args.nodes:
        seconds, path = simulate(works, nodes)
        told = ", ".join(f"{step} {s / 3600:.1f} h" for step, s in path.most_common() if s >= 180)
        runs.append({"nodes": nodes, "hours": f"{seconds / 3600:.1f}", "critical path": told})
    busy = sum(work.cores * work.seconds for work in works) / 3600
    return f"""# A thousand people

Made by `python -m benchmarks.scale`. People are made up and counted; of the plans nothing was run.

## Planning

`snakemake -n all` through the SLURM profile with the methods of `{args.config.name}`, on one core.
`processor` is what it needs of that; `seconds` is longer where others are at work on the machine.
Submissions of people register and resample twenty of them.

{table(plans)}
## Disk

Measured in a finished study of this configuration, with its methods, tracers and voxels. `raw`,
`bids` and `registered` have the size of scans as they were taken; `normalized`, `packed` and
`synthesized` are on the MNI grid and grow with its voxels, 60-fold from 4 mm to 1 mm. Nothing is
deleted by itself, except the images of the sampler study: `relad explain` follows a number through
all of them. With `keep_registered: false` each person's `registered` goes once they are normalized.

{table(disk(args.results))}
## The workflow's own time

{jobs} jobs from nothing on {args.cores} cores took {args.elapsed:.0f} s. Cores had no job for
{share:.1%} of the time that they had one: Snakemake itself, and waiting for one another.

## A run on a cluster, simulated

{args.simulate} people with the methods, updates and voxels of `{args.config.name}`:
{len(works)} submissions, {busy:.0f} core hours, on nodes of {NODE} cores. Each job takes as
long as [its formula](resources.md) says, and {LATENCY:.0f} s more to be submitted and seen; what
most time follows from goes first. The critical path goes back from the end to what each submission
waited for; what takes less than three minutes of it is left out. With a real study's updates and
voxels training is longer than all else together.

{table(runs)}"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("scale", __doc__)
    parser.add_argument("results", type=Path, help="results of a study that ran from nothing")
    parser.add_argument("--config", type=Path, required=True, help="its configuration")
    parser.add_argument("--elapsed", type=float, required=True, help="seconds that it took")
    parser.add_argument("--cores", type=int, required=True, help="cores that it had")
    parser.add_argument("--people", type=int, nargs="+", default=[10, 100, 1000, 10000])
    parser.add_argument("--simulate", type=int, default=1000, help="people of the simulation")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--report", type=Path, required=True, help="folder of the page")
    args = parser.parse_args(argv)

    def make() -> str:
        text = page(args)
        write_text(args.report / "scale.md", text)
        return text

    return printed(make)


if __name__ == "__main__":
    sys.exit(main())
