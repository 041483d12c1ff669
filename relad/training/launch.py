"""Starts the processes of a training, with what torchrun is made of.

On one machine all of them; where SLURM's srun has started as many tasks, one in each of these. They
meet at the first task, on the node that srun was called on.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch.distributed import is_torchelastic_launched
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from relad.errors import ReladError
from relad.fileio import read_json
from relad.training.stopping import SIGNALS, STOPPED

#: First port at which the tasks of a job meet, and of how many: below those that systems give out.
_PORT, _PORTS = 20000, 10000
#: Seconds in which a training that is asked to stop ends an update and stores a checkpoint.
_TO_STOP = 600
#: How what a process raised begins, as torch writes it down.
_BAD_INPUT = f"{ReladError.__name__}: "


def in_processes(count: int, work: Callable[..., int], *given: Any) -> int:
    """Do work in several processes at once; its exit status.

    Parameters
    ----------
    count
        Processes of all machines together. With 1, or where torchrun started this process already,
        the work is done here.
    work, given
        A function of a module and what it takes, which every process is sent.

    Raises
    ------
    ReladError
        What a process raised first, in its words; or where SLURM started another number of tasks.
    """
    if count == 1 or is_torchelastic_launched():
        return work(*given)
    logging.disable(logging.CRITICAL)  # torch's reports on processes, of which the cause is told
    try:
        with tempfile.TemporaryDirectory() as logs:
            config = _configured(count, os.environ, logs)
            os.environ |= _own_gpu(os.environ)
            try:
                elastic_launch(config, _work)(work, given)
            except ChildFailedError as error:
                _, first = error.get_first_failure()
                if first.exitcode == STOPPED:
                    return STOPPED
                raise _cause(first.message, Path(logs)) from None
            return 0
    except SignalException as signal:
        if signal.sigval not in SIGNALS:
            raise
        return STOPPED
    finally:
        logging.disable(logging.NOTSET)


@record
def _work(work: Callable[..., int], given: tuple[Any, ...]) -> int:
    try:
        if status := work(*given):
            sys.exit(status)  # of what returns, torch waits to read the value, but not once stopped
        return 0
    except (ReladError, MemoryError) as error:
        raise ReladError(str(error)) from None
    except OSError as error:
        raise ReladError(error.strerror or str(error), file=error.filename) from None


def _cause(said: object, logs: Path) -> ReladError:
    """What ended a training: the bad input that one process found, not that others then lost it."""
    raised = [read_json(file)["message"] for file in sorted(logs.rglob("error.json"))]
    told = [each["message"] for each in raised]
    bad = [each for each in told if each.startswith(_BAD_INPUT)]
    if not bad:
        print(*(each["extraInfo"]["py_callstack"] for each in raised), sep="\n", file=sys.stderr)
    return ReladError([*bad, *told, f"a process ended: {said}"][0].removeprefix(_BAD_INPUT))


def _own_gpu(environ: Mapping[str, str]) -> dict[str, str]:
    """Of a node's GPUs, which all tasks of a job see there, the one of this task."""
    visible = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    local = int(environ.get("SLURM_LOCALID", "0"))
    alone = environ.get("SLURM_STEP_NUM_TASKS", "1") == "1"
    return {} if alone or local >= len(visible) else {"CUDA_VISIBLE_DEVICES": visible[local]}


def _configured(count: int, environ: Mapping[str, str], logs: str) -> LaunchConfig:
    tasks = int(environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks not in (1, count):
        raise ReladError(
            f"SLURM started {tasks} tasks for the {count} processes of a training",
            hint="ask for as many tasks as training.processes says, or for one",
        )
    if tasks == 1:
        meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": "relad"}
        meeting["local_addr"] = "localhost"
    else:
        job = environ["SLURM_JOB_ID"]
        port = _PORT + int(job) % _PORTS
        meeting = {
            "rdzv_backend": "static",
            "rdzv_endpoint": f"{environ['SLURM_LAUNCH_NODE_IPADDR']}:{port}",
            "rdzv_configs": {"rank": int(environ["SLURM_PROCID"])},
            "run_id": job,
        }
    return LaunchConfig(
        min_nodes=tasks,
        max_nodes=tasks,
        nproc_per_node=count // tasks,
        max_restarts=0,
        signals_to_handle=",".join(signal.name for signal in SIGNALS),
        shutdown_timeout=_TO_STOP,
        logs_specs=DefaultLogsSpecs(log_dir=logs),
        **meeting,
    )
