"""Whether what a study uses beside packages is there: converter, weights, GPU, conda, SLURM."""

from __future__ import annotations

import re
from collections.abc import Iterator

from relad.doctor.finding import Finding, Level
from relad.doctor.machine import Machine
from relad.doctor.packages import by_conda, install, locked


def cuda(machine: Machine) -> Iterator[Finding]:
    driver = _driver(machine)
    if machine.version("torch") is None:
        return  # told with the packages
    torch = machine.torch()
    if torch is None:
        return
    if torch["gpus"] and torch["ran"]:
        what = f"{', '.join(torch['gpus'])}; PyTorch for CUDA {torch['built_for']}"
        yield Finding("GPU", Level.OK, f"{what}; {driver}" if driver else what)
    elif torch["gpus"]:
        yield Finding(
            "GPU",
            Level.LACK,
            f"{', '.join(torch['gpus'])} is there, but computes nothing with PyTorch for CUDA "
            f"{torch['built_for']}",
            "install a PyTorch for this card, or hide it: CUDA_VISIBLE_DEVICES= snakemake all",
        )
    elif driver is None:
        yield Finding(
            "GPU", Level.NOTE, "no NVIDIA driver; networks train on the CPU, which will do here"
        )
    elif torch["built_for"] is None:
        yield Finding(
            "GPU",
            Level.NOTE,
            f"{driver}, but this PyTorch is a build for CPUs",
            "pip install a CUDA build of torch to use the card",
        )
    else:
        hidden = machine.environ.get("CUDA_VISIBLE_DEVICES")
        why = (
            "CUDA_VISIBLE_DEVICES hides it" if hidden in ("", "-1") else "the driver may be too old"
        )
        yield Finding(
            "GPU",
            Level.NOTE,
            f"{driver}, but PyTorch for CUDA {torch['built_for']} finds no card ({why}); networks "
            "train on the CPU",
            "compare the CUDA version that nvidia-smi names",
        )


def _driver(machine: Machine) -> str | None:
    """The NVIDIA driver in words; None where there is none that answers."""
    if machine.which("nvidia-smi") is None:
        return None
    query = ("--query-gpu=name,driver_version", "--format=csv,noheader")
    status, said = machine.run("nvidia-smi", *query)
    card = said.strip().splitlines()[0] if said.strip() else ""
    name, _, version = card.partition(", ")
    return f"{name} with driver {version}" if status == 0 and version else None


def converter(machine: Machine) -> Iterator[Finding]:
    """The converter of DICOM that `relad ingest` takes: of its package, else on PATH."""
    about = "dcm2niix"
    lack = Level.NOTE if by_conda(machine) else Level.LACK
    own = (
        [file for file in machine.files(about) if file.name == about]
        if machine.version(about)
        else []
    )
    program = next((str(file) for file in own if file.exists()), None) or machine.which(about)
    if program is None:
        yield Finding(about, lack, "the converter of DICOM is missing", f"{install()}")
        return
    status, said = machine.run(program, "--version")
    found = re.search(r"v(\d+\.\d+\.\d+)", said)
    if found is None:
        reason = " ".join(said.split())[:120] or f"exit status {status}"
        yield Finding(about, lack, f"{program} does not run ({reason})", install())
    elif found[1] != locked().get(about, found[1]):
        yield Finding(
            about,
            Level.NOTE,
            f"{found[1]} in {program}; tested with {locked()[about]}, and others may read headers "
            "otherwise",
            install(),
        )
    else:
        yield Finding(about, Level.OK, f"{found[1]}, the version tested")


def brain_extractor(machine: Machine) -> Iterator[Finding]:
    if machine.version("deepbet") is None:
        return  # told with the packages
    weights = [file for file in machine.files("deepbet") if file.suffix == ".pt"]
    bad = [file for file in weights if not file.is_file() or not file.stat().st_size]
    if bad or not weights:
        what = f"its weights are missing ({bad[0]})" if bad else "it came without weights"
        level = Level.NOTE if by_conda(machine) else Level.LACK
        remedy = "pip install --force-reinstall --no-deps deepbet"
        yield Finding("deepbet", level, f"brain extraction: {what}", remedy)
    else:
        yield Finding("deepbet", Level.OK, "brain extraction, with its weights")


def workflow(machine: Machine) -> Iterator[Finding]:
    conda = machine.which("conda")
    if conda is None:
        yield Finding(
            "conda", Level.NOTE, "not there; needed for --use-conda alone, not for make demo"
        )
        return
    status, said = machine.run(conda, "--version")
    if status:
        yield Finding("conda", Level.NOTE, f"{conda} does not run", "needed for --use-conda alone")
    else:
        yield Finding("conda", Level.OK, said.strip())


def slurm(machine: Machine) -> Iterator[Finding]:
    commands = ("sbatch", "squeue", "sacct", "scancel")
    missing = [name for name in commands if machine.which(name) is None]
    if len(missing) == len(commands):
        yield Finding("SLURM", Level.NOTE, "no cluster here; all runs on this machine")
        return
    if missing:
        yield Finding(
            "SLURM",
            Level.NOTE,
            f"{', '.join(missing)} missing: the profile workflow/profiles/slurm will not work",
            "submit from a login node of the cluster",
        )
        return
    status, said = machine.run("squeue", "--me")
    if status:
        reason = said.strip().splitlines()[-1] if said.strip() else f"exit status {status}"
        yield Finding(
            "SLURM",
            Level.NOTE,
            f"its commands are there, but no cluster answers ({reason})",
            "submit from a login node of the cluster",
        )
    else:
        yield Finding("SLURM", Level.OK, "sbatch, squeue, sacct and scancel, and a cluster answers")
