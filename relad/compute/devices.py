"""Where PyTorch computes: device, precision, threads, memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import torch

from relad.errors import ReladError

#: ``training.precision`` -> whether networks run in bfloat16 (on CPU, on CUDA).
PRECISIONS = {"auto": (False, True), "float32": (False, False), "bfloat16": (True, True)}


def choose_device(wanted: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` to a device.

    Raises
    ------
    ReladError
        If CUDA is asked for and absent.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ReladError(
            "the device 'cuda' was asked for, but no CUDA device is available",
            hint="say cpu or auto",
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Context in which networks run in the chosen precision; weights and losses stay float32.

    ``auto`` is bfloat16 on CUDA and float32 on the CPU.
    """
    enabled = PRECISIONS[precision][device.type == "cuda"]
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far in MB: of the GPU on CUDA, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        # Not ru_maxrss where this is known: it begins with the peak of the process that started us.
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def reset_peak_memory(device: torch.device) -> None:
    """Let :func:`peak_memory_mb` count from now on, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def set_threads(count: int) -> None:
    """Fix torch's threads: their number can change the last bits of a sum.

    On the CPU everything repeats to the bit. On CUDA cuDNN may choose the fastest convolutions,
    which are not deterministic; 3D training would be several times slower without.
    """
    torch.set_num_threads(count)
    cuda = torch.cuda.is_available()
    torch.use_deterministic_algorithms(not cuda, warn_only=True)
    # Deterministic mode would fill every new tensor with NaN first, a sixth of a step's time; no
    # code here reads memory before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = cuda


def load_per_core() -> float:
    """Processes that ran or waited in the last minute, per core: about 1 where all are busy."""
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
