"""The machine a benchmark ran on, by its parts; never by its name."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

import relad
from relad.status import Kind


def cpu_model() -> str:
    """As /proc/cpuinfo names it, with cache size and vector extensions: clouds hide the model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(
        (key.strip(), value.strip())
        for key, _, value in (line.partition(":") for line in reversed(lines))
    )
    flags = fields.get("flags", "").split()
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    number = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
    return f"{fields.get('model name', 'unknown CPU')} ({number}; {', '.join(wide)})"


def describe(device: torch.device) -> dict[str, Any]:
    """Parts and versions, and one line of them."""
    cuda = device.type == "cuda"
    threads = torch.get_num_threads()
    parts = {
        "device": torch.cuda.get_device_name() if cuda else cpu_model(),
        "threads": threads,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "python": platform.python_version(),
        "relad": relad.__version__,
        "monai": _version("monai"),
    }
    where = parts["device"] if cuda else f"{parts['device']}, {threads} thread(s)"
    return {**parts, "summary": f"{where}, PyTorch {parts['torch']}, MONAI {parts['monai']}"}


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def banner(kind: Kind) -> str:
    """What a report must say of its data before anything else."""
    return f"**{kind.note}.** " if kind.note else ""
