"""A private one-node SLURM on the loopback device: nothing of it is outside one folder.

Debian's packages are enough (``slurm-wlm slurm-wlm-basic-plugins munge``): no daemon of the system,
no munge, no slurmdbd, no root. Memory and time limits are enforced as on a real cluster.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Where Debian puts the daemons, which is not on everybody's PATH.
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol")
START_SECONDS = 30
#: A word of ``scontrol show``, whose value may have spaces in it.
_FIELD = re.compile(r"(\S+?)=(.*?)(?=\s+[A-Z]\S*=|\s*$)")
#: What stands for GPUs: SLURM wants character devices, and never opens them.
GPUS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")


def missing() -> list[str]:
    """Programs of SLURM that are not installed here."""
    return [name for name in NEEDED if shutil.which(name, path=PLACES) is None]


@dataclass(frozen=True)
class Cluster:
    """A running cluster; ``folder`` holds its configuration, state and logs."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """Environment in which SLURM's commands, and so Snakemake's, talk to this cluster."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{PLACES}",
        }

    def ask(self, *command: str) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, check=True
        )
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """State of every job that the cluster remembers, by number."""
        lines = self.ask("squeue", "--noheader", "--states=all", "--format=%i|%T").split()
        return dict(line.split("|") for line in lines)

    def comments(self, state: str) -> list[str]:
        """What Snakemake says of every job in a state: its rule and wildcards."""
        told = self.ask("squeue", "--noheader", f"--states={state}", "--format=%k")
        return told.splitlines()

    def submissions(self, about: str) -> list[dict[str, str]]:
        """What was asked for by each job, in order, whose comment has ``about`` in it.

        Keys are those of ``scontrol show job``.
        """
        found = []
        for record in self.ask("scontrol", "--oneliner", "show", "job").splitlines():
            job = dict(_FIELD.findall(record))
            if about in job.get("Comment", ""):
                found.append(job)
        return sorted(found, key=lambda job: int(job["JobId"]))


def _write_configuration(folder: Path, cores: int, memory_mb: int, gpus: int) -> None:
    host = socket.gethostname().partition(".")[0]
    listening = [socket.socket() for _ in range(2)]
    for each in listening:
        each.bind(("127.0.0.1", 0))
    controller, node = (each.getsockname()[1] for each in listening)
    for each in listening:
        each.close()
    for part in ("state", "spool", "bin"):
        (folder / part).mkdir(parents=True)
    user = getpass.getuser()
    generic = "GresTypes=gpu\n" if gpus else ""
    (folder / "slurm.conf").write_text(
        f"""\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=2
ReturnToService=2
MinJobAge=3600
KillWait=5
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
{generic}\
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mb} \
{f"Gres=gpu:{gpus} " if gpus else ""}State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
""",
        encoding="utf-8",
    )
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")
    if gpus:
        devices = "".join(f"NodeName={host} Name=gpu File={file}\n" for file in GPUS[:gpus])
        (folder / "gres.conf").write_text(devices, encoding="utf-8")
    # Inside a job, Snakemake's plugin removes every SLURM_* of the environment, this one too.
    srun = folder / "bin" / "srun"
    real = shutil.which("srun", path=PLACES)
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    srun.chmod(0o755)


@contextmanager
def running(
    folder: Path, *, cores: int = 2, memory_mb: int = 20000, gpus: int = 0
) -> Iterator[Cluster]:
    """Start a cluster below ``folder``, which must not exist, and stop it at the end.

    ``cores`` and ``memory_mb`` are what its one node says it has, whatever this machine has.
    """
    _write_configuration(folder, cores, memory_mb, gpus)
    cluster = Cluster(folder)
    host = socket.gethostname().partition(".")[0]
    conf = ("-D", "-f", str(folder / "slurm.conf"))
    daemons = []
    try:
        for name, own in (("slurmctld", ("-i",)), ("slurmd", ("-N", host))):
            with (folder / f"{name}.out").open("w") as out:
                daemons.append(
                    subprocess.Popen(
                        [str(shutil.which(name, path=PLACES)), *conf, *own],
                        env={**os.environ, **cluster.env},
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )
        _wait_for_the_node(cluster)
        yield cluster
    finally:
        if len(daemons) == 2:
            subprocess.run(["scancel", "--me"], env={**os.environ, **cluster.env}, check=False)
            _wait_until_no_job_runs(cluster)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _wait_for_the_node(cluster: Cluster) -> None:
    for _ in range(START_SECONDS * 10):
        try:
            if cluster.ask("sinfo", "-h", "-p", "cpu", "-o", "%T").strip() == "idle":
                return
        except subprocess.CalledProcessError:
            pass
        time.sleep(0.1)
    for log in sorted(cluster.folder.glob("*.log")):
        print(f"--- {log.name}", *log.read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
    raise RuntimeError(f"no SLURM after {START_SECONDS} s")


def _wait_until_no_job_runs(cluster: Cluster) -> None:
    for _ in range(100):
        if not cluster.ask("squeue", "--noheader").strip():
            return
        time.sleep(0.1)
