"""A copy of the repository with a study beside it, on which Snakemake can be run."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from relad.study.catalogue import RESULTS
from tests.helpers import plans

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("relad", "baselines", "workflow", "config", "envs")
#: Options with which Snakemake runs no job.
_NO_JOBS = {"--dry-run", "-n", "--summary", "--touch"}
#: Columns of runtime.csv that are measured and so differ from run to run.
MEASURED = re.compile("seconds|time|memory|load|_mb$|_s$")
#: Steps for direct use, which no rule runs.
DIRECT = {"metrics", "coregister", "preprocess", "predict", "check-method", "export", "doctor"}
DIRECT |= {"explain", "crate", "status"}


@dataclass(frozen=True)
class Study:
    """``folder/repository`` (a copy, free to be edited) and ``folder/study`` (its results).

    ``config`` names a file in the copy's ``config/``; None leaves the choice to the workflow.
    """

    folder: Path
    config: str | None = "test.yaml"
    python: str = sys.executable

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def results(self) -> Path:
        return self.folder / "study" / "results"

    @property
    def configfile(self) -> Path:
        assert self.config is not None
        return self.repository / "config" / self.config

    @classmethod
    def create(cls, folder: Path) -> Study:
        ignore = shutil.ignore_patterns("__pycache__")
        for part in PARTS:
            shutil.copytree(REPOSITORY / part, folder / "repository" / part, ignore=ignore)
        (folder / "study").mkdir()
        return cls(folder)

    def copy(self, folder: Path) -> Study:
        """Copy with all modification times kept, so that it is as up to date as this one."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return replace(self, folder=folder)

    def snakemake(
        self, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on this study.

        ``arguments`` come first, so that a target is not swallowed by the options added here.
        What runs no job needs no process of its own, see :mod:`tests.helpers.plans`.
        """
        if self.python == sys.executable and _NO_JOBS.intersection(arguments):
            command = self.command(*arguments)
            given = {**os.environ, **(env or {})}
            done = plans.server().run(command[3:], self.folder, given)
            return subprocess.CompletedProcess(command, *done)
        process = self.start(*arguments, env=env)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start what :meth:`snakemake` runs, and do not wait for it; it can be interrupted.

        Also where the tests run in the background, where a shell has interrupts ignored.
        """
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def command(self, *arguments: str) -> list[str]:
        """Command line of :meth:`snakemake`."""
        return [
            *(self.python, "-m", "snakemake", *arguments),
            *("--snakefile", str(self.repository / "workflow" / "Snakefile")),
            *("--directory", str(self.folder / "study")),
            *(("--configfile", str(self.configfile)) if self.config else ()),
        ]

    def plan(self, *arguments: str) -> Plan:
        """Jobs that a dry run would do."""
        done = self.snakemake("--dry-run", *arguments)
        output = done.stderr + done.stdout  # whose last words are the plan's
        assert done.returncode == 0, output
        return Plan(output)

    def fill_with_nothing(self, target: str = "all") -> None:
        """Make every output of a target, empty, and have Snakemake believe it is up to date."""
        summary = self.snakemake(target, "--summary").stdout.splitlines()
        assert len(summary) > 1, "the summary lists no output"
        for line in summary[1:]:
            output = self.folder / "study" / line.split("\t")[0]
            output.parent.mkdir(parents=True, exist_ok=True)
            if output.suffix:
                output.touch()
            else:
                output.mkdir(exist_ok=True)
        done = self.snakemake(target, "--touch", "--forceall", "--cores", "1")
        assert done.returncode == 0, done.stderr

    def outcome(self) -> dict[str, object]:
        """What must come out the same of every run: tables, metrics and models, byte for byte.

        Of the table of measured times, the columns that are not measured. What tables were made of
        names files that hold such times.
        """
        found: dict[str, object] = {}
        for pattern in ("tables/*", "metrics/**/*.csv", "models/**/*.safetensors"):
            for file in sorted(self.results.glob(pattern)):
                name = str(file.relative_to(self.results))
                if file.suffix == ".json":
                    continue
                if file.stem != "runtime":
                    found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
                elif file.suffix == ".csv":
                    with file.open(newline="", encoding="utf-8") as text:
                        found[name] = [
                            {key: row[key] for key in row if not MEASURED.search(key)}
                            for row in csv.DictReader(text)
                        ]
        return found


class Plan:
    """What a dry run said: how many jobs of each rule, and each job's message."""

    def __init__(self, output: str):
        table = output.rpartition("Job stats:")[2].partition("Reasons:")[0]
        counts = re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)
        self.rules = Counter({rule: int(n) for rule, n in counts if rule not in ("total", "all")})
        self.messages = re.findall(r"^Job \d+: (.*)$", output, flags=re.MULTILINE)
        self.output = output

    def of(self, verb: str) -> list[str]:
        """Messages that begin with ``verb``, without it."""
        return sorted(m.removeprefix(f"{verb} ") for m in self.messages if m.startswith(f"{verb} "))


def of_all(kind: str, samples: bool = True) -> list[str]:
    """Names of the tables or figures that the target `all` makes, in alphabetical order.

    ``samples``: also those that a study has only where a method gives the mean of several.
    """
    made = [result for result in RESULTS if result.kind == kind and result.of_all]
    return sorted(result.name for result in made if samples or not result.of_samples)
