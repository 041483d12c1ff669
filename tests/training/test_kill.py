"""A training killed outright at random moments ends with the weights of one never killed."""

from __future__ import annotations

import subprocess
import sys

from relad.study.paths import REPOSITORY
from tests.helpers.settings import file_of
from tests.helpers.trainings import settings

KILLS = 10

# Forks instead of starting Python anew, so that ten starts do not cost ten imports of torch.
PROGRAM = """
import os, random, signal, sys, time
import torch
from relad import cli

packed, root, *options = sys.argv[1:]

def run(folder, kill_after=None):
    child = os.fork()
    if child == 0:
        os._exit(cli.main(["train", packed, folder, *options]))
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status), os.waitstatus_to_exitcode(status)

started = time.perf_counter()
assert run(f"{root}/whole") == (False, 0)
whole = time.perf_counter() - started
moment, kills, attempt = random.Random(0), 0, 0
while kills < int(os.environ["KILLS"]):
    killed, code = run(f"{root}/killed-{attempt}", moment.uniform(0, whole / 6))
    kills += killed
    if not killed:  # it was over before the next kill: kill another one
        assert code == 0
        attempt += 1
assert run(f"{root}/killed-{attempt}") == (False, 0)
print(kills, attempt)
"""


def test_ten_kills_at_random_moments_change_no_bit(packed, tmp_path):
    part = settings(
        updates=60,
        checkpoint_every=1,
        validation={"subjects": 1, "every": 7, "steps": 1},
    )
    part["methods"]["rela"]["params"] = {
        "network": {"channels": [4, 4]},
        "discriminator": {"channels": [4, 4]},
        "adversary_from": 0.3,
    }
    options = ["--method", "rela", "--fold", "0", "--settings", file_of(part)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(packed), str(tmp_path), *options],
        cwd=REPOSITORY,
        env={"KILLS": str(KILLS), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kills, finished = map(int, done.stdout.split())
    assert kills == KILLS
    whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
    for attempt in range(finished + 1):
        folder = tmp_path / f"killed-{attempt}"
        assert (folder / "model.safetensors").read_bytes() == whole
        assert sorted(p.name for p in folder.iterdir()) == [
            "log.csv",
            "model.safetensors",
            "train.json",
        ]
