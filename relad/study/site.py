"""A site's own settings for its cluster, and what the cluster has.

Standard library only, and what Snakemake installs, since the Snakefile imports it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from relad.errors import ReladError
from relad.study.config import checked, read_yaml
from relad.study.paths import REPOSITORY
from relad.study.settings import typed

#: Not in the repository: it is the site's own, and a `git pull` leaves it alone.
FILE = REPOSITORY / "workflow" / "profiles" / "slurm" / "site.yaml"
_SECONDS = 60


@dataclass(frozen=True)
class Gpu:
    """What a job that can use a GPU asks for."""

    count: int
    model: str | None
    partition: str | None


@dataclass(frozen=True)
class Site:
    """See workflow/schemas/site.schema.yaml."""

    account: str | None
    partition: str | None
    gpu: Gpu
    scratch: str | None


def load(file: Path | None = FILE) -> Site:
    """Read a site's settings; where it has none, or for jobs of no site, all are the defaults.

    Raises
    ------
    ReladError
        Where a key is unknown or a value is of another kind.
    """
    given = read_yaml(file) if file is not None and file.exists() else None
    return typed(Site, checked(given or {}, "site", file=file or FILE))


def fitting(site: Site, offer: Offer | None) -> Site:
    """A site's settings for what its cluster has: where that has no GPU, none is asked for."""
    if offer is None or offer.gpus:
        return site
    return replace(site, gpu=replace(site.gpu, count=0))


def scratch_folder(site: Site) -> str:
    """Where a job on this node may put temporary files; to be asked on that node.

    Raises
    ------
    ReladError
        Where the setting names a variable that is not set there.
    """
    folder = os.path.expandvars(site.scratch or "")
    if "$" in folder:
        raise ReladError(
            f"scratch: {site.scratch!r} names a variable that is not set on {socket.gethostname()}",
            file=FILE,
            hint="name a folder, or a variable that jobs have there",
        )
    return folder


@dataclass(frozen=True)
class Offer:
    """What a job can ask for: of every partition it may go to, the largest node has this."""

    cores: int
    memory_mb: int
    gpus: bool


def offer(site: Site, told: str | None = None) -> Offer | None:
    """What SLURM has for a site's jobs; None where there is no SLURM that answers.

    Parameters
    ----------
    site
        Its partitions are looked at, or SLURM's default one where it names none.
    told
        What ``sinfo`` said; left out, it is asked.

    Raises
    ------
    ReladError
        Where SLURM has no such partition.
    """
    told = _asked() if told is None else told
    nodes = [line.split("|") for line in (told or "").splitlines() if line.count("|") == 3]
    if not nodes:
        return None
    standard = [name[:-1] for name, *_ in nodes if name.endswith("*")] or [nodes[0][0]]
    general = site.partition or standard[0]
    with_gpus = site.gpu.partition or general
    found = {}
    for partition in {general, with_gpus}:
        mine = [rest for name, *rest in nodes if name.rstrip("*") == partition]
        if not mine:
            known = sorted({name.rstrip("*") for name, *_ in nodes})
            hint = f"partitions: {', '.join(known)}"
            raise ReladError(f"SLURM has no partition {partition!r}", file=FILE, hint=hint)
        found[partition] = mine
    return Offer(
        cores=min(max(int(cores) for cores, _, _ in mine) for mine in found.values()),
        memory_mb=min(max(int(memory) for _, memory, _ in mine) for mine in found.values()),
        gpus=any("gpu" in generic for _, _, generic in found[with_gpus]),
    )


def most_cores(asked: int | None, offer: Offer) -> int:
    """Cores that one job may ask for: those of ``--cores``, if it was given, that a node has.

    SLURM lets a job that wants more than any node has wait for ever.
    """
    return offer.cores if asked is None else min(asked, offer.cores)


def _asked() -> str | None:
    if shutil.which("sinfo") is None:
        return None
    command = ("sinfo", "--noheader", "--Node", "--format=%P|%c|%m|%G")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def cancel(run: str) -> None:
    """Take all jobs of one run from SLURM's queue, by the name that they share.

    Where SLURM does not answer they stay there, and stop when they begin: their plan is gone.
    """
    words = ("scancel", f"--name={run}")
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False)
