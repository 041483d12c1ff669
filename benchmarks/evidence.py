"""What the evidence of a study costs: from synthetic PET to metrics, tables, figures and page.

    python -m benchmarks.evidence results/packed/sim-train results/packed/sim-external WORK \\
        --report docs/benchmarks

The external cohort is filled up to so many people, with normal noise on its scans, and so many
methods synthesise their PET (ridge regressions of different strengths, which train in seconds; what
made an image is nothing to its evaluation). WORK then is a study that Snakemake has finished. Its
metrics, tables, figures, page and paper are taken away and made again, on --cores cores; that is
what is measured and written to evidence.md. Times need a quiet machine, those of processors less.
"""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import report
from benchmarks.machine import banner, describe
from relad.cli import whole_number
from relad.compute.devices import choose_device
from relad.data.dataset import SUBJECT_COLUMNS, PackedDataset
from relad.errors import ReladError
from relad.fileio import read_table, write_json, write_table, write_text
from relad.study.config import DEFAULT, read_yaml
from relad.study.paths import REPOSITORY

#: Of the noise that tells people apart, in packed units.
NOISE = 0.05
#: Of the regressions, in voxels: what they cost and reach is not asked.
STRIDE = 4
#: Made anew, below results/.
MADE = ("metrics", "tables", "figures", "paper", "report.html")
STEPS = ("evaluate", "tables", "figures", "report", "paper")


def fill_up(source: Path, out: Path, people: int) -> PackedDataset:
    """Write a packed cohort of so many people, everybody of another's scans with other noise.

    Raises
    ------
    ReladError
        Where ``source`` is no packed cohort.
    """
    data = PackedDataset(source)
    random = np.random.default_rng(0)
    out.mkdir(parents=True)
    of = np.arange(people) % len(data)
    mask = np.asarray(data.mask)[of]
    volumes = {"mask": mask}
    for name, old in (("mri", np.asarray(data.mri)[of]), ("pet", np.asarray(data.pet)[of])):
        noise = random.normal(0, NOISE, old.shape).astype(old.dtype)
        volumes[name] = np.where(mask[:, None], (old + noise).clip(-1, 1), old)
    for name, volume in volumes.items():
        np.save(out / f"{name}.npy", volume)
    listed = [row for row in read_table(source / "subjects.tsv") if row["included"] == "yes"]
    rows = [
        {**listed[k], "subject": f"P{i:04d}", "index": i}
        | {"mri_sha256": hashlib.sha256(volumes["mri"][i].tobytes()).hexdigest()[:16]}
        for i, k in enumerate(of)
    ]
    write_table(out / "subjects.tsv", rows, SUBJECT_COLUMNS)
    write_json(out / "dataset.json", {**data.info, "ceiling": False})
    return PackedDataset(out)


def study_of(*cohorts: PackedDataset) -> dict[str, Any]:
    """Configuration of the study, as that of the repository is; its methods apart."""
    settings = read_yaml(DEFAULT)
    settings["cohorts"] = {
        data.cohort: {"role": data.role, "source": "packed", "path": str(data.path.resolve())}
        for data in cohorts
    }
    del settings["sampler_study"], settings["training"]["group_updates"]
    return settings | {"methods": "methods.yaml", "ablations": "ablations.yaml"}


def methods_of(count: int) -> dict[str, Any]:
    """Methods file: the first is the floor, the mean template, the others are regressions."""
    known = read_yaml(REPOSITORY / "config" / "methods.yaml")
    ridges = np.geomspace(0.005, 5, count - 1)
    found = {"template": known["template"]}
    for i, ridge in enumerate(ridges, start=1):
        entry = known["subject-template"]
        params = {**entry["params"], "ridge": float(ridge), "stride": STRIDE}
        found[f"ridge-{i}"] = {**entry, "label": f"Ridge {i}", "family": "regression"}
        found[f"ridge-{i}"]["params"] = params
    return found


def snakemake(work: Path, cores: int) -> tuple[float, float]:
    """Make whatever of the study is not there; wall-clock and processor seconds.

    Raises
    ------
    ReladError
        With the end of what it says, where it fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "all", "--cores", str(cores)),
            *("--snakefile", REPOSITORY / "workflow" / "Snakefile", "--directory", work),
            *("--configfile", work / "study.yaml"),
        ],
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise ReladError(f"Snakemake ended with {done.returncode}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))
    return seconds, processor


def jobs(work: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the step of every job that was measured anew, and what Snakemake measured of it."""
    for step in STEPS:
        for file in sorted((work / "results" / "benchmarks" / step).glob("**/*.tsv")):
            yield step, read_table(file)[0]


def rows_of(measured: list[tuple[str, Mapping[str, str]]]) -> Iterator[dict[str, Any]]:
    """One row per step: its jobs, their processor seconds, and the memory of the largest."""
    for step in STEPS:
        mine = [job for name, job in measured if name == step]
        if mine:
            processor = [float(job["cpu_time"] or 0) for job in mine]
            yield {
                "step": step,
                "jobs": len(mine),
                "processor (s)": f"{sum(processor):.0f}",
                "longest (s)": f"{max(float(job['s']) for job in mine):.0f}",
                "memory of the largest (MB)": f"{max(float(job['max_rss']) for job in mine):.0f}",
            }


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("evidence", __doc__)
    parser.add_argument("train", type=Path, help="packed training cohort")
    parser.add_argument("external", type=Path, help="packed cohort that is filled up")
    parser.add_argument("work", type=Path, help="folder of the study; must not exist")
    parser.add_argument("--people", type=whole_number(1), default=100)
    parser.add_argument("--methods", type=whole_number(3), default=12)
    parser.add_argument("--cores", type=whole_number(1), default=2)
    parser.add_argument("--report", type=Path, help="folder of evidence.md")
    args = parser.parse_args(argv)

    def text() -> str:
        if args.work.exists():
            raise ReladError("is there already", file=args.work, hint="name a new folder")
        data = fill_up(args.external, args.work / "packed", args.people)
        study = study_of(PackedDataset(args.train), data)
        for name, content in (
            ("study.yaml", study),
            ("methods.yaml", methods_of(args.methods)),
            ("ablations.yaml", {}),
        ):
            write_text(args.work / name, yaml.safe_dump(content, sort_keys=False))
        snakemake(args.work, args.cores)
        results = args.work / "results"
        for name in MADE:
            path = results / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for step in STEPS:
            shutil.rmtree(results / "benchmarks" / step, ignore_errors=True)
        seconds, processor = snakemake(args.work, args.cores)
        machine = describe(choose_device("cpu"))
        told = (
            f"# From synthetic PET to the page\n\nMade by `python -m benchmarks.evidence`. "
            f"{banner(data.kind)}{machine['summary']}.\n\n"
            f"{args.people} people x {args.methods} methods x {len(data.tracers)} tracers on "
            f"{' x '.join(map(str, data.shape))} voxels, and the test people of one fold: "
            f"**{seconds:.0f} s** on {args.cores} cores, {processor:.0f} s of processors, "
            f"Snakemake's own among them. The page has "
            f"{(results / 'report.html').stat().st_size / 1e6:.1f} MB.\n\n"
            f"{report.table(list(rows_of(list(jobs(args.work)))))}"
        )
        if args.report:
            write_text(args.report / "evidence.md", told)
        return told

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
