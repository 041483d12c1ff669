"""Environments and images: what they hold, and that jobs run inside them.

Jobs in environments are tried where ``RELAD_CONDA`` names a folder for them, with the machine's
conda or with one that stands in for it (:mod:`tests.helpers.conda`). Not by default: channel and
environments take six minutes and ten gigabytes the first time, and the jobs two minutes every time.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from relad.study import paths
from tests.helpers import conda
from tests.helpers.conda import ENVIRONMENTS, dependencies
from tests.helpers.packed_study import WEIGHTS, packed_study
from tests.helpers.small_study import REPOSITORY, Study

# --- what they hold ------------------------------------------------------------------------------


def locked() -> dict[str, str]:
    """Version of every package in the lock, by its name on conda-forge."""
    text = (REPOSITORY / "requirements.lock.txt").read_text(encoding="utf-8")
    pins = dict(line.lower().split("==") for line in text.splitlines() if "==" in line)
    return {conda.ON_CONDA_FORGE.get(name, name): version for name, version in pins.items()}


def minor(version: str) -> str:
    """Major and minor number, which decide what a package does: 2.4 of 2.4.* and of 2.4.6."""
    return ".".join(version.split(".")[:2])


def test_environments_and_the_lock_differ_only_where_the_docs_say_why() -> None:
    """Their numbers may differ too; who compares them must find out before."""
    different = {}
    for file in ENVIRONMENTS:
        for name, version in dependencies(file)[0].items():
            if name in locked() and minor(version) != minor(locked()[name]):
                versions = (name, minor(version), minor(locked()[name]))
                different.setdefault(versions, []).append(file.stem)
    text = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\S+) \| ([\d.]+) \| ([\d.]+) \| ([\w, ]+) \| .+ \|$", text, re.MULTILINE
    )
    assert {tuple(row[:3]): row[3].split(", ") for row in rows} == different


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_what_comes_from_pypi_is_of_the_lock(file: Path) -> None:
    """conda-forge's dcm2niix lagged the lock by a year, and by a change of its PET sidecars."""
    for name, version in dependencies(file)[1].items():
        assert version == locked()[name]


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_conda_understands_every_dependency(file: Path) -> None:
    rattler = pytest.importorskip("rattler", reason="py-rattler is not installed")
    for name, version in dependencies(file)[0].items():
        spec = rattler.MatchSpec(f"{name}={version}")
        understood = (spec.name.normalized, str(spec.version).removesuffix(".*"))
        assert understood == (name, version.removesuffix(".*"))


# --- images --------------------------------------------------------------------------------------


def test_both_images_hold_the_lock_on_the_python_of_the_environments() -> None:
    base, install = set(), set()
    for name, keyword in (("relad.def", "From: "), ("Dockerfile", "FROM ")):
        text = (REPOSITORY / "envs" / name).read_text(encoding="utf-8")
        base |= set(re.findall(rf"^{keyword}(.*)$", text, re.MULTILINE))
        install |= set(re.findall(r"(python -m pip install .*)$", text, re.MULTILINE))
        copied = re.findall(r"(requirements\.lock\.txt) (/opt/relad/\S+)$", text, re.MULTILINE)
        assert copied == [("requirements.lock.txt", "/opt/relad/requirements.lock.txt")]
    assert len(base) == len(install) == 1
    assert re.fullmatch(rf"python:{re.escape(conda.python())}\.\d+-slim-\w+", *base)
    assert install.pop().endswith(" --requirement /opt/relad/requirements.lock.txt")


#: Stands in for Apptainer: notes how it was called, and runs the command on this machine.
APPTAINER = f"""#!/bin/bash
[ "$1" = --version ] && exec echo apptainer version 1.3.4
echo "$@" >> "$(dirname "$0")/calls"
PATH="{Path(sys.executable).parent}:$PATH" exec "${{@: -3}}"
"""


def test_jobs_run_in_the_image(tmp_path: Path) -> None:
    study = packed_study(tmp_path / "a study")
    apptainer = tmp_path / "bin" / "apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text(APPTAINER, encoding="utf-8")
    apptainer.chmod(0o755)
    env = {"PATH": f"{apptainer.parent}:{os.environ['PATH']}"}
    words = ("--sdm", "apptainer", "--cores", "1")
    done = study.snakemake(WEIGHTS, *words, env=env)
    image = study.repository / "envs" / "relad.sif"
    assert f"{image}: no such image -- apptainer build" in done.stdout + done.stderr
    image.touch()
    done = study.snakemake(WEIGHTS, *words, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (apptainer.parent / "calls").read_text(encoding="utf-8")
    assert re.search(r" \.\./repository/envs/relad\.sif bash -c .* train ", calls, re.DOTALL)


# --- jobs in environments ------------------------------------------------------------------------

#: Added to the launcher of a study's copy: the last line of a job's log says where it ran.
WITNESS = """
import atexit
import sys


def tell():
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    here = (sys.prefix, {repository!r})
    foreign = sorted(file for file in files if file.startswith("/") and not file.startswith(here))
    print("sys.prefix", sys.prefix, foreign)


atexit.register(tell)
"""
#: Environment -> the steps that are tried in it.
TRIED = {
    "imaging": ("phantom", "ingest", "enroll", "register"),
    "torch": ("train", "synthesize"),
    "analysis": ("evaluate", "tables"),
}
PERSON = str(paths.registered("tiny-external", "952S0001"))
SCORES = str(paths.evaluated("toy", "template", 0, 0))


@dataclass(frozen=True)
class Environments:
    folder: Path
    env: dict[str, str]

    def snakemake(self, study: Study, *words: str) -> tuple[int, str]:
        prefix = ("--conda-prefix", str(self.folder / "environments"))
        done = study.snakemake(*words, "--cores", "1", "--use-conda", *prefix, env=self.env)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def environments() -> Environments:
    if reason := conda.missing():
        pytest.skip(reason)
    folder = Path(os.environ[conda.OPT_IN]).resolve()
    return Environments(folder, conda.prepare(folder))


def with_witness(study: Study) -> Study:
    launcher = study.repository / "workflow" / "relad.py"
    text = launcher.read_text(encoding="utf-8")
    witness = WITNESS.format(repository=str(study.repository))
    launcher.write_text(text.replace("import sys\n", witness, 1), encoding="utf-8")
    return study


@dataclass(frozen=True)
class Run:
    """The studies whose jobs ran: from raw scans to registered ones, and from packed to a table."""

    scans: Study
    packed: Study

    def of(self, environment: str) -> Study:
        return self.scans if environment == "imaging" else self.packed


@pytest.fixture(scope="module")
def run(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("conda")
    run = Run(
        with_witness(Study.create(folder / "scans")), with_witness(packed_study(folder / "packed"))
    )
    for study, target in ((run.scans, PERSON), (run.packed, "results/tables/main.csv")):
        for words in ((target, "--conda-create-envs-only"), (target,)):
            status, said = environments.snakemake(study, *words)
            assert status == 0, said
    return run


@pytest.mark.parametrize("environment", sorted(TRIED))
def test_jobs_run_in_the_environment_of_the_unmodified_file(run: Run, environment: str) -> None:
    for step in TRIED[environment]:
        logs = sorted((run.of(environment).results / "logs" / step).glob("*.log"))
        assert logs, f"no job of {step}"
        for log in logs:
            text = log.read_text(encoding="utf-8")
            ((prefix, foreign),) = re.findall(r"^sys\.prefix (.+) (\[.*\])$", text, re.MULTILINE)
            print(step, prefix)
            made_of = Path(f"{prefix}.yaml").read_bytes()
            assert made_of == (REPOSITORY / "envs" / f"{environment}.yaml").read_bytes()
            assert foreign == "[]", f"{step} imports from elsewhere"


@pytest.mark.parametrize(
    ("environment", "package", "module", "target"),
    [
        ("imaging", "pydicom", "pydicom", str(paths.raw("tiny-external"))),
        ("torch", "safetensors", "safetensors", WEIGHTS),
        ("analysis", "scikit-image", "skimage", SCORES),
    ],
)
def test_a_package_that_an_environment_lacks_is_not_found_elsewhere(
    environments: Environments,
    run: Run,
    tmp_path: Path,
    environment: str,
    package: str,
    module: str,
    target: str,
) -> None:
    """Snakemake's own Python has it: a job that found it there would hide what is missing."""
    study = run.of(environment).copy(tmp_path / "study")
    file = study.repository / "envs" / f"{environment}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"  - {package}=")]
    assert len(kept) == len(lines) - 1
    file.write_text("".join(kept), encoding="utf-8")
    status, said = environments.snakemake(study, target)
    assert status == 1
    assert f"ModuleNotFoundError: No module named '{module}'" in said
