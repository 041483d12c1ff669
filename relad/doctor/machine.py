"""What this machine is and has, asked without importing what may be missing or broken."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

#: A program that answers no question within this time hangs (s).
TIMEOUT_S = 120
#: Imports modules in turn, so that one that takes Python down with it is known by name.
_IMPORT = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps({"module": name}), flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        print(json.dumps({"module": name, "error": said}), flush=True)
print(json.dumps({"done": True}))
"""
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "built_for": torch.version.cuda,
    "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count() * cuda)],
    "ran": bool((torch.ones(8, device="cuda") * 2).sum().item() == 16) if cuda else None,
}))
"""
_MB = 2**20
#: Memory limits of the control groups of either version; a larger number is none.
_LIMITS = ("memory.max", "memory.limit_in_bytes")


class Machine:
    """Answers about the machine, Python and working folder of this process."""

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def system(self) -> str:
        return f"{platform.system()} {platform.machine()}"

    @property
    def python(self) -> tuple[int, int, int]:
        return sys.version_info[:3]

    @property
    def folder(self) -> Path:
        """Where Snakemake would be started."""
        return Path.cwd()

    @property
    def cache(self) -> Path:
        """Where Snakemake keeps what it fetches; it does not start where it cannot."""
        home = self.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        return Path(home) / "snakemake"

    def which(self, program: str) -> str | None:
        """Path of a program; beside this Python too, whose environment may not be activated."""
        return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status of a command, and what it printed."""
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return -1, str(error)
        return done.returncode, done.stdout.decode(errors="replace")

    def version(self, distribution: str) -> str | None:
        """Version of an installed package; None where it is not installed."""
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
        return None

    def files(self, distribution: str) -> list[Path]:
        """Files of an installed package, whether they are there or not."""
        return [Path(str(file.locate())) for file in metadata.files(distribution) or ()]

    def failed_imports(self, modules: Sequence[str]) -> dict[str, str]:
        """Modules that cannot be imported, with the reason."""
        status, said = self.run(sys.executable, "-c", _IMPORT, *modules)
        failed, last, done = {}, None, False
        for told in _json_lines(said):
            done = done or "done" in told
            last = told.get("module", last)
            if "error" in told:
                failed[told["module"]] = told["error"]
        if not done and last:
            failed[last] = f"takes Python down with it (exit status {status})"
        return failed

    def torch(self) -> dict | None:
        """CUDA version that PyTorch was ``built_for``, names of ``gpus``, and whether one ``ran``.

        None where PyTorch does not say.
        """
        _, said = self.run(sys.executable, "-c", _TORCH)
        return next((told for told in _json_lines(said) if "built_for" in told), None)

    @property
    def cpus(self) -> int:
        """CPUs that this process may use."""
        return len(os.sched_getaffinity(0))

    @property
    def cpu_quota(self) -> float | None:
        """CPUs that a container grants in all; None where it says nothing."""
        with suppress(OSError, ValueError):
            quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
            return float(quota) / float(period)
        with suppress(OSError, ValueError):
            folder = Path("/sys/fs/cgroup/cpu")
            quota = float((folder / "cpu.cfs_quota_us").read_text())
            return quota / float((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else None
        return None

    @property
    def memory_mb(self) -> float | None:
        """Memory that may still be taken: what is available, or what a container grants if less."""
        found = []
        with suppress(OSError, ValueError, IndexError):
            text = Path("/proc/meminfo").read_text()
            found.append(int(text.partition("MemAvailable:")[2].split()[0]) / 1024)
        for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory"):
            for name in _LIMITS:
                with suppress(OSError, ValueError):
                    found.append(int((Path(folder) / name).read_text()) / _MB)
        return min(found, default=None)

    @property
    def temporary(self) -> Path:
        """Where temporary files go."""
        return Path(tempfile.gettempdir())

    def free_mb(self, folder: Path) -> float:
        return shutil.disk_usage(_there(folder)).free / _MB

    def unwritable(self, folder: Path) -> str | None:
        """Why no file can be written into a folder, or one be made for it; None where it can."""
        try:
            with tempfile.TemporaryDirectory(prefix=".relad-doctor-", dir=_there(folder)) as probe:
                Path(probe, "file").write_bytes(bytes(2**16))
        except OSError as error:
            return error.strerror or str(error)
        return None


def _there(folder: Path) -> Path:
    """A folder, or the nearest above it that exists."""
    return next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)


def _json_lines(text: str) -> list[dict]:
    found = []
    for line in text.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return [told for told in found if isinstance(told, dict)]
