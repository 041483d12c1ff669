"""How a training's processes are started, stopped, and what is said where one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from relad.errors import ReladError
from relad.fileio import read_table
from relad.study.paths import REPOSITORY
from relad.training import launch
from relad.training.stopping import STOPPED
from tests.helpers.settings import file_of
from tests.helpers.trainings import settings

TASK = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_JOB_ID": "1234567",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7",
}


def start(packed: Any, out: Path, **training: Any) -> subprocess.Popen[str]:
    part = settings(batch_size=2, processes=2, **training)
    words = ["train", str(packed), str(out), "--method", "unet", "--fold", "0"]
    return subprocess.Popen(
        [sys.executable, "-m", "relad", *words, "--settings", file_of(part)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(out.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_stopped_training_goes_on_to_the_same_weights(packed, tmp_path: Path) -> None:
    """A signal to the process that was started reaches those that train."""
    whole = start(packed, tmp_path / "whole", updates=60, checkpoint_every=5)
    assert whole.wait() == 0, whole.communicate()
    stopped = start(packed, tmp_path / "model", updates=60, checkpoint_every=5)
    log = tmp_path / "model" / "log.csv"
    until = time.monotonic() + 60
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate()
    assert stopped.returncode == STOPPED, said
    assert "run again" in said and "Traceback" not in said
    assert 0 < len(read_table(log)) < 60
    assert start(packed, tmp_path / "model", updates=60, checkpoint_every=5).wait() == 0
    model, same = (load_file(tmp_path / n / "model.safetensors") for n in ("model", "whole"))
    assert all((model[name] == same[name]).all() for name in same)
    assert not list(tmp_path.glob("tmp*")) and not list(tmp_path.glob("torchelastic*"))


def test_what_a_process_raises_is_told_in_one_line(packed, tmp_path: Path) -> None:
    taken = tmp_path / "model" / "checkpoint.pt"
    taken.mkdir(parents=True)
    _, said = start(packed, tmp_path / "model").communicate()
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("relad train: error: ")] == lines[-1:], said
    assert str(taken) in lines[-1] and "Traceback" not in said


def test_tasks_of_slurm_meet_at_the_first_one(tmp_path: Path) -> None:
    config = launch._configured(4, TASK, str(tmp_path))
    assert (config.min_nodes, config.max_nodes, config.nproc_per_node) == (4, 4, 1)
    assert (config.rdzv_endpoint, config.run_id) == ("10.0.0.7:24567", "1234567")
    assert config.rdzv_configs["rank"] == 3
    alone = launch._configured(4, TASK | {"SLURM_STEP_NUM_TASKS": "1"}, str(tmp_path))
    assert (alone.min_nodes, alone.nproc_per_node) == (1, 4)
    assert alone.rdzv_endpoint == "localhost:0"


def test_another_number_of_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReladError, match="SLURM started 4 tasks for the 2 processes"):
        launch._configured(2, TASK, str(tmp_path))


def test_every_task_has_a_gpu_of_its_own() -> None:
    """Whether SLURM shows a task all GPUs of the job or its own alone."""
    assert launch._own_gpu(TASK | {"CUDA_VISIBLE_DEVICES": "4,6"}) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert launch._own_gpu(TASK | {"CUDA_VISIBLE_DEVICES": "6"}) == {}
    assert launch._own_gpu({"CUDA_VISIBLE_DEVICES": "4,6", "SLURM_LOCALID": "0"}) == {}
    assert launch._own_gpu(TASK) == {}
