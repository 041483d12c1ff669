"""A conda to make environments with: the machine's own, or one that stands in for it.

The stand-in lies beside the repository (``shared/tools/conda-standin``): enough of conda's command
line for Snakemake, on py-rattler, and a channel of the name conda-forge whose packages are PyPI's
wheels. It solves and installs as conda does, but knows nothing of what conda-forge has.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import yaml

from tests.helpers.loni import SHARED
from tests.helpers.small_study import REPOSITORY

ENVIRONMENTS = sorted((REPOSITORY / "envs").glob("*.yaml"))
#: Folder where channel and environments are made, and kept for the next time.
OPT_IN = "RELAD_CONDA"
STANDIN = SHARED / "tools" / "conda-standin"
#: PyPI's name -> conda-forge's, of what the lock and the environments both name.
ON_CONDA_FORGE = {"torch": "pytorch"}
#: The python3 of what stands in: this one, which has py-rattler, and leaves without tidying up. At
#: Python's end, py-rattler's threads crash it half of the time, with all done.
RUNNER = f"""#!{sys.executable}
import os, runpy, sys
status, sys.argv = 0, sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except BaseException as error:
    print(f"{{type(error).__name__}}: {{error}}", file=sys.stderr)
    status = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)
"""


def dependencies(file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Versions that an environment asks for, by package: of conda-forge, and of PyPI."""
    *first, last = yaml.safe_load(file.read_text(encoding="utf-8"))["dependencies"]
    pip = last["pip"] if isinstance(last, dict) else []
    conda = first if isinstance(last, dict) else [*first, last]
    return (
        dict(each.split("=", 1) for each in conda),
        dict(each.split("==", 1) for each in pip),
    )


def python() -> str:
    """Version of Python in the environments, one for all, such as 3.12."""
    (version,) = {dependencies(file)[0]["python"] for file in ENVIRONMENTS}
    return version


def missing() -> str:
    """Why no environment can be made here; nothing where one can."""
    if OPT_IN not in os.environ:
        return f"{OPT_IN} names no folder for environments: six minutes and 10 GB the first time"
    if shutil.which("conda"):
        return ""
    if not STANDIN.is_dir():
        return f"no conda, and none that stands in for it in {STANDIN}"
    if find_spec("rattler") is None:
        return "no conda, and what stands in for it needs py-rattler"
    if subprocess.run(["sh", "-c", f"python{python()} --version"], capture_output=True).returncode:
        return f"no conda, and what stands in for it needs a python{python()} to pack"
    return ""


def prepare(folder: Path) -> dict[str, str]:
    """Environment variables with which Snakemake finds a conda that can make environments."""
    if shutil.which("conda"):
        return {}
    wanted = {file.stem: _requirements(file) for file in ENVIRONMENTS}
    home = folder / hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]
    if not home.exists():
        building = home.with_suffix(".part")
        shutil.rmtree(building, ignore_errors=True)
        _make_channel(building, wanted)
        building.rename(home)
    runner = home / "bin" / "python3"
    runner.parent.mkdir(exist_ok=True)
    runner.write_text(RUNNER, encoding="utf-8")
    runner.chmod(0o755)
    return {
        "PATH": f"{STANDIN / 'bin'}:{runner.parent}:{os.environ['PATH']}",
        "CONDA_CHANNEL_ALIAS": home.as_uri(),
        "CONDA_CHANNEL_PRIORITY": "strict",
        "RATTLER_CACHE_DIR": str(home / "cache"),
    }


def _requirements(file: Path) -> list[str]:
    pypi = {conda: name for name, conda in ON_CONDA_FORGE.items()}
    conda, _ = dependencies(file)
    return [f"{pypi.get(k, k)}=={version}" for k, version in conda.items() if k != "python"]


def _make_channel(home: Path, wanted: dict[str, list[str]]) -> None:
    """A channel with what the environments want, each resolved of itself, as conda would."""
    packer = home / "packer"
    subprocess.run([f"python{python()}", "-m", "venv", packer], check=True)
    run = str(packer / "bin" / "python")
    subprocess.run([run, "-m", "pip", "install", "-q", "packaging", "zstandard"], check=True)
    index: dict[str, dict] = {}
    there: set[str] = set()
    for name, requirements in wanted.items():
        part = home / name
        new = [each for each in requirements if each not in there]
        there |= set(new)
        subprocess.run([run, STANDIN / "make-channel.py", part, *new], check=True)
        for folder in sorted(part.iterdir()):
            found = json.loads((folder / "repodata.json").read_text(encoding="utf-8"))
            index.setdefault(folder.name, found)["packages.conda"] |= found["packages.conda"]
            (home / "conda-forge" / folder.name).mkdir(parents=True, exist_ok=True)
            for file in folder.glob("*.conda"):
                file.replace(home / "conda-forge" / folder.name / file.name)
        shutil.rmtree(part)
    for name, repodata in index.items():
        _let_torch_find_cuda(repodata["packages.conda"].values())
        (home / "conda-forge" / name / "repodata.json").write_text(json.dumps(repodata))
    shutil.rmtree(packer)


def _let_torch_find_cuda(packages: Iterable[dict]) -> None:
    """PyPI's torch wants its libraries, also without a GPU; the channel is made for one without."""
    libraries = [each["name"] for each in packages if re.match("nvidia|cuda|triton", each["name"])]
    for each in packages:
        if each["name"] == "pytorch":
            each["depends"] += libraries
