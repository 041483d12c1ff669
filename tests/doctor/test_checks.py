"""`relad doctor` names each lack that is planted, and no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from relad.doctor import packages
from relad.doctor.checks import examine
from relad.doctor.finding import Finding, Level
from relad.doctor.machine import Machine

LOCKED = packages.locked()["dcm2niix"]
SLURM = ("sbatch", "squeue", "sacct", "scancel")
CARD = {"built_for": "12.8", "gpus": ["NVIDIA H100"], "ran": True}


class Good(Machine):
    """A machine on which all is well, but for a GPU, conda and SLURM, which it does without."""

    environ: dict[str, str] = {}  # noqa: RUF012
    system, python = "Linux x86_64", (3, 12, 4)
    folder, temporary, cache = Path("/study"), Path("/tmp"), Path("/home/me/.cache/snakemake")
    cpus, cpu_quota, memory_mb = 8, None, 64000.0
    programs: dict[str, tuple[int, str]] = {"dcm2niix": (0, f"v{LOCKED}")}  # noqa: RUF012
    versions: dict[str, str | None] = {}  # noqa: RUF012
    weights = Path(__file__)
    failed: dict[str, str] = {}  # noqa: RUF012
    cuda: dict[str, Any] = {"built_for": None, "gpus": [], "ran": None}  # noqa: RUF012
    free: dict[str, float] = {}  # noqa: RUF012
    read_only: tuple[str, ...] = ()

    def which(self, program: str) -> str | None:
        return program if program in self.programs else None

    def run(self, *words: str) -> tuple[int, str]:
        return self.programs[words[0]]

    def version(self, distribution: str) -> str | None:
        locked = packages.locked().get(distribution.lower(), "1.0")
        return self.versions.get(distribution, locked)

    def files(self, distribution: str) -> list[Path]:
        return [self.weights.with_suffix(".pt")] if distribution == "deepbet" else []

    def failed_imports(self, modules: Any) -> dict[str, str]:
        return {module: why for module, why in self.failed.items() if module in modules}

    def torch(self) -> dict[str, Any] | None:
        return self.cuda

    def free_mb(self, folder: Path) -> float:
        return self.free.get(folder.name, 50000.0)

    def unwritable(self, folder: Path) -> str | None:
        return "Permission denied" if folder.name in self.read_only else None


@pytest.fixture
def planted(tmp_path: Path) -> Any:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")

    def examine_with(**changes: Any) -> list[Finding]:
        machine = type("Planted", (Good,), {"weights": weights, **changes})
        return list(examine(machine()))

    return examine_with


def of(findings: list[Finding], level: Level) -> dict[str, Finding]:
    return {finding.about: finding for finding in findings if finding.level is level}


def test_a_machine_with_all_it_needs_lacks_nothing(planted: Any) -> None:
    found = planted()
    assert not of(found, Level.LACK)
    assert of(found, Level.NOTE).keys() == {"GPU", "conda", "SLURM"}
    assert {"Python", "packages", "dcm2niix", "deepbet", "results", "memory"} <= of(
        found, Level.OK
    ).keys()


PROGRAMS = Good.programs
SINFO = {name: (1, "slurm_load_jobs error: Unable to contact controller") for name in SLURM}
CONDA = {**PROGRAMS, "conda": (0, "conda 25.1.0")}
DRIVER = {**PROGRAMS, "nvidia-smi": (0, "NVIDIA H100, 550.54\n")}

#: What is planted, where it is told, and in which words; each stops the study.
LACKS = [
    ({"python": (3, 10, 1)}, "Python", "relad needs 3.11 to 3.13"),
    ({"python": (3, 14, 0)}, "Python", "relad needs 3.11 to 3.13"),
    ({"versions": {"torch": None}}, "torch", "is not installed"),
    ({"versions": {"snakemake": None}}, "snakemake", "is not installed"),
    ({"versions": {"numpy": "1.26.4"}}, "numpy", "is 1.26.4, >=2.0 is needed"),
    ({"failed": {"torch": "OSError: libcudart.so.12"}}, "torch", "libcudart.so.12"),
    ({"failed": {"ants": "takes Python down with it"}}, "antspyx", "takes Python down"),
    ({"programs": {}}, "dcm2niix", "the converter of DICOM is missing"),
    ({"programs": {"dcm2niix": (127, "GLIBC_2.38 not found")}}, "dcm2niix", "GLIBC_2.38 not found"),
    ({"weights": Path("/nowhere/model.pt")}, "deepbet", "its weights are missing"),
    ({"cuda": CARD | {"ran": False}}, "GPU", "computes nothing"),
    ({"read_only": ("results",)}, "results", "cannot be written (Permission denied)"),
    ({"read_only": (".snakemake",)}, "results", "/study/.snakemake cannot be written"),
    ({"read_only": ("tmp",)}, "TMPDIR", "/tmp cannot be written"),
    ({"read_only": ("snakemake",)}, "cache", "which Snakemake needs, cannot be written"),
    ({"free": {"results": 1000.0}}, "results", "1.0 GB free in /study/results, 2.5 GB needed"),
    ({"free": {"tmp": 100.0}}, "TMPDIR", "0.1 GB free in /tmp, 0.5 GB needed"),
    ({"memory_mb": 1500.0}, "memory", "the largest job takes 2 GB"),
]
NOTES = [
    ({"system": "Darwin arm64"}, "system", "tested on Linux alone"),
    ({"versions": {"deepbet": None}}, "deepbet", "brains are extracted by the template"),
    ({"versions": {"optuna": None}}, "optuna", "no search of parameters"),
    ({"versions": {"scipy": "1.14.0"}}, "packages", "scipy 1.14.0 ("),
    ({"programs": {"dcm2niix": (0, "v1.0.20211006")}}, "dcm2niix", f"tested with {LOCKED}"),
    ({"programs": DRIVER}, "GPU", "this PyTorch is a build for CPUs"),
    ({"programs": DRIVER, "cuda": CARD | {"gpus": []}}, "GPU", "the driver may be too old"),
    (
        {
            "programs": DRIVER,
            "cuda": CARD | {"gpus": []},
            "environ": {"CUDA_VISIBLE_DEVICES": ""},
        },
        "GPU",
        "CUDA_VISIBLE_DEVICES hides it",
    ),
    ({"programs": {**PROGRAMS, "conda": (1, "")}}, "conda", "does not run"),
    ({"programs": {**PROGRAMS, "sbatch": (0, "")}}, "SLURM", "squeue, sacct, scancel missing"),
    ({"programs": {**PROGRAMS, **SINFO}}, "SLURM", "Unable to contact controller"),
    ({"environ": {"TMPDIR": "/gone"}}, "TMPDIR", "is /gone, which cannot be written"),
    ({"memory_mb": 9000.0}, "memory", "enough for 4 jobs at once"),
    ({"memory_mb": None}, "memory", "does not say"),
    ({"cpu_quota": 2.0}, "CPUs", "this container grants 2"),
    ({"environ": {"OMP_NUM_THREADS": "64"}}, "threads", "OMP_NUM_THREADS is 64, more than the 8"),
    ({"environ": {"MKL_NUM_THREADS": "all"}}, "threads", "MKL_NUM_THREADS is 'all', no number"),
]


@pytest.mark.parametrize(("changes", "about", "words"), LACKS, ids=lambda v: str(v)[:40])
def test_a_lack_is_named_with_its_remedy(
    changes: dict[str, Any], about: str, words: str, planted: Any
) -> None:
    found = of(planted(**changes), Level.LACK)
    assert found.keys() == {about}
    assert words in found[about].what and found[about].remedy


@pytest.mark.parametrize(("changes", "about", "words"), NOTES, ids=lambda v: str(v)[:40])
def test_what_the_study_does_without_is_a_note(
    changes: dict[str, Any], about: str, words: str, planted: Any
) -> None:
    found = planted(**changes)
    assert not of(found, Level.LACK)
    assert words in of(found, Level.NOTE)[about].what


def test_with_conda_the_steps_packages_need_not_be_here(planted: Any) -> None:
    versions = {"torch": None, "antspyx": None, "dcm2niix": None, "deepbet": None}
    found = planted(versions=versions, programs={"conda": (0, "conda 25.1.0")})
    assert not of(found, Level.LACK)
    assert "--use-conda" in of(found, Level.NOTE)["torch"].remedy
    lacks = of(planted(versions={"PyYAML": None}, programs=CONDA), Level.LACK)
    assert lacks.keys() == {"PyYAML"}  # Snakemake plans with it


def test_a_gpu_and_a_cluster_that_answer_are_well(planted: Any) -> None:
    slurm = {name: (0, "JOBID") for name in SLURM}
    found = of(planted(cuda=CARD, programs={**DRIVER, **slurm}), Level.OK)
    assert found["GPU"].what == "NVIDIA H100; PyTorch for CUDA 12.8; NVIDIA H100 with driver 550.54"
    assert "a cluster answers" in found["SLURM"].what


def test_an_installed_package_alone_is_no_study(
    planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "REPOSITORY", tmp_path)
    assert "workflow/Snakefile" in of(planted(), Level.LACK)["study"].what


# --- the machine itself ---------------------------------------------------------------------------


def test_a_module_that_takes_python_down_is_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good_one.py").write_text("")
    (tmp_path / "bad_one.py").write_text("raise OSError('libGL.so.1 not found')")
    (tmp_path / "fatal_one.py").write_text("import os; os._exit(132)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failed = Machine().failed_imports(["good_one", "bad_one", "fatal_one"])
    assert failed == {
        "bad_one": "OSError: libGL.so.1 not found",
        "fatal_one": "takes Python down with it (exit status 132)",
    }


def test_a_program_is_run_and_one_that_is_none_told(tmp_path: Path) -> None:
    program = tmp_path / "dcm2niix"
    program.write_text("#!/bin/sh\necho v1.0.20200331; exit 3\n")
    program.chmod(0o755)
    assert Machine().run(str(program)) == (3, "v1.0.20200331\n")
    status, said = Machine().run(str(tmp_path / "none"))
    assert status == -1 and "No such file" in said


def test_a_folder_is_tried_by_writing(tmp_path: Path) -> None:
    assert Machine().unwritable(tmp_path / "not" / "yet") is None
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    assert Machine().unwritable(tmp_path / "file") == os.strerror(20)  # is no folder
    assert Machine().unwritable(Path("/proc/here")) is not None


def test_the_machine_knows_itself() -> None:
    machine = Machine()
    assert machine.cpus >= 1 and machine.memory_mb > 10
    assert machine.free_mb(Path("/not/there")) == pytest.approx(machine.free_mb(Path("/")), rel=0.1)
    assert machine.version("numpy") and machine.version("no-such-package") is None
