"""The study on a real SLURM, through the profile as it is.

Skipped where SLURM is not installed (``apt-get install --no-install-recommends slurm-wlm
slurm-wlm-basic-plugins munge``). One run of Snakemake has most cases in it, since a job takes many
seconds to be submitted, and a time limit a minute to be reached.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from relad.fileio import read_json
from relad.study import paths, resources
from tests.helpers import slurm
from tests.helpers.packing import WINDOWS, write_packed
from tests.helpers.small_study import REPOSITORY, Study

pytestmark = pytest.mark.skipif(
    bool(slurm.missing()), reason=f"SLURM is not installed: no {', '.join(slurm.missing())}"
)

#: The profile as it is; statuses are asked for more often than 40 s after a submission.
PROFILE = (
    *("--workflow-profile", str(REPOSITORY / "workflow" / "profiles" / "slurm")),
    *("--slurm-init-seconds-before-status-checks", "4"),
)
UPDATES = 120
#: With what Python and torch take, more than a training of the toy cohort asks for, and less than
#: twice that.
HUNGRY_MB, _ = resources.request("train", resources.Size(grid=16 * 20 * 12))
METHODS = """
unet:
  class: baselines.unet:RegressionUNet
  label: U-Net
  family: regression
  params: {network: {channels: [4, 8]}}
template:
  class: baselines.template:MeanTemplate
  label: Mean template
  family: floor
slow:
  class: baselines.trouble:Slow
  label: slow
  family: regression
  groups: [trouble]
  params: {network: {channels: [4, 8]}}
hungry:
  class: baselines.trouble:Hungry
  label: hungry
  family: regression
  groups: [trouble]
  params: {network: {channels: [4, 8]}}
broken:
  class: baselines.trouble:Broken
  label: broken
  family: regression
  groups: [trouble]
  params: {network: {channels: [4, 8]}}
"""
TROUBLE = '''
"""Methods that need more time or memory than their job has, or fail."""

import os
import time
from pathlib import Path

from baselines.unet import RegressionUNet
from relad.errors import ReladError


class Slow(RegressionUNet):
    """Takes two minutes the first time."""

    def __init__(self, **given):
        super().__init__(**given)
        begun = Path(os.environ.get("SLOW_ONCE", "."))
        self.pause = 0 if begun.exists() else 1
        begun.touch()

    def update(self, batch, **given):
        time.sleep(self.pause)
        return super().update(batch, **given)


class Hungry(RegressionUNet):
    def update(self, batch, **given):
        if not hasattr(self, "much"):
            self.much = b"x" * (int(os.environ.get("HUNGRY_MB", "0")) << 20)
            time.sleep(4)
        return super().update(batch, **given)


class Broken(RegressionUNet):
    def update(self, batch, **given):
        raise ReladError("broken on purpose")
'''


def create(folder: Path) -> Study:
    """A study of a packed toy cohort, whose ``trouble`` is trained when it is asked for."""
    study = Study.create(folder)
    packed = write_packed(folder / "toy", folds=2)
    tracers = "\n".join(
        f"  {name}: {{ligand: {ligand}, suvr_window: {list(WINDOWS[name])}}}"
        for name, ligand in (("tau", "AV1451"), ("amyloid", "AV45"), ("tspo", "PBR28"))
    )
    study.configfile.write_text(
        f"""
cohorts:
  toy: {{role: train, source: packed, path: {packed}}}
tracers:
{tracers}
grid: {{voxel_mm: 8.0, shape: [16, 20, 12]}}
folds: {{count: 2, run: [0]}}
training:
  updates: 4
  group_updates: {{trouble: {UPDATES}}}
  batch_size: 1
  checkpoint_every: 10
  validation: {{subjects: 0}}
sampling: {{sampler: ddim, steps: 2}}
methods: config/test/methods.yaml
ablations: config/test/ablations.yaml
""",
        encoding="utf-8",
    )
    (study.repository / "config/test/methods.yaml").write_text(METHODS, encoding="utf-8")
    (study.repository / "config/test/ablations.yaml").write_text("{}", encoding="utf-8")
    (study.repository / "baselines/trouble.py").write_text(TROUBLE, encoding="utf-8")
    return study


def weights(method: str, seed: int = 0) -> str:
    return str(paths.model(method, 0, seed) / "model.safetensors")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    """A node that says it has eight cores and four GPUs, whatever this machine has."""
    with slurm.running(tmp_path_factory.mktemp("slurm") / "toy", cores=8, gpus=4) as cluster:
        yield cluster


@dataclass(frozen=True)
class Run:
    study: Study
    cluster: slurm.Cluster
    done: subprocess.CompletedProcess[str]

    @property
    def said(self) -> str:
        return self.done.stdout + self.done.stderr

    def trainings(self, method: str) -> list[dict[str, str]]:
        return self.cluster.submissions(f"rule_train_wildcards_{method}_0_0")


@pytest.fixture(scope="module")
def run(cluster: slurm.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run with a job of every fate, and a table that needs none of those that fail.

    Study, repository and interpreter lie in a folder with a space.
    """
    study = create(tmp_path_factory.mktemp("run") / "a study")
    environment = study.folder / "environment"
    python = Path(sys.executable)
    environment.symlink_to(python.parent.parent)
    study = replace(study, python=str(environment / "bin" / python.name))
    done = study.snakemake(
        "results/tables/main.csv",
        *map(weights, ("slow", "hungry", "broken")),
        *("--set-resources", "train:runtime=1 if wildcards.method == 'slow' else 30"),
        *PROFILE,
        env={
            **cluster.env,
            "SLOW_ONCE": str(study.folder / "begun"),
            "HUNGRY_MB": str(HUNGRY_MB),
        },
    )
    return Run(study, cluster, done)


def states(jobs: list[dict[str, str]]) -> list[str]:
    return [job["JobState"] for job in jobs]


def test_what_is_well_ends_well(run: Run) -> None:
    """Statuses come from squeue: this cluster has no slurmdbd, and sacct is installed."""
    assert (run.study.results / "tables/main.csv").is_file(), run.said
    for method in ("unet", "template"):
        assert states(run.trainings(method)) == ["COMPLETED"]
        for rule in ("synthesize", "evaluate"):
            jobs = run.cluster.submissions(f"rule_{rule}_wildcards_toy_{method}_0_0")
            assert states(jobs) == ["COMPLETED"]


def test_memory_exceeded_gets_more(run: Run) -> None:
    first, second = run.trainings("hungry")
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    log = Path(first["StdOut"]).read_text(encoding="utf-8")
    assert "memory limit" in log
    assert int(second["MinMemoryNode"].rstrip("M")) == 2 * int(first["MinMemoryNode"].rstrip("M"))
    assert (run.study.folder / "study" / weights("hungry")).is_file()


def test_time_limit_then_the_same_weights(run: Run, tmp_path: Path) -> None:
    first, *_, last = run.trainings("slow")
    assert (first["JobState"], first["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert last["JobState"] == "COMPLETED"
    log = (run.study.folder / "study" / paths.log("train", "slow", 0, 0)).read_text()
    (at,) = re.findall(r"at update (\d+)", log)
    assert 0 < int(at) < UPDATES
    whole = create(tmp_path / "study")
    done = whole.snakemake(weights("slow"), "--cores", "1", env={"SLOW_ONCE": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    resumed = (run.study.folder / "study" / weights("slow")).read_bytes()
    assert resumed == (whole.folder / "study" / weights("slow")).read_bytes()


def test_a_failing_job_is_named_with_its_log(run: Run) -> None:
    assert run.done.returncode == 1
    assert states(run.trainings("broken")) == ["FAILED"] * 3
    log = paths.log("train", "broken", 0, 0)
    assert f"log: {log}" in run.said and f"Logfile {log}:" in run.said
    assert "relad train: error: broken on purpose" in run.said


def test_set_resources_leaves_the_gpu(run: Run) -> None:
    for method in ("unet", "slow", "hungry", "broken"):
        assert {job.get("TresPerJob") for job in run.trainings(method)} == {"gres:gpu:1"}
    (evaluation,) = run.cluster.submissions("rule_evaluate_wildcards_toy_unet_0_0")
    assert "TresPerJob" not in evaluation


def test_a_training_in_two_tasks_is_that_of_one_process(
    cluster: slurm.Cluster, tmp_path: Path
) -> None:
    """Stopped by its time limit on the way, it goes on as one that was not."""
    several, alone = create(tmp_path / "several"), create(tmp_path / "alone")
    for study, processes in ((several, 2), (alone, 1)):
        text = study.configfile.read_text(encoding="utf-8")
        shared = f"batch_size: 2\n  processes: {processes}"
        study.configfile.write_text(text.replace("batch_size: 1", shared), encoding="utf-8")
    begun = {"SLOW_ONCE": str(tmp_path / "begun")}
    done = several.snakemake(
        weights("slow"), "--set-resources", "train:runtime=1", *PROFILE, env=cluster.env | begun
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, last = [
        job
        for job in cluster.submissions("rule_train_wildcards_slow_0_0")
        if job["WorkDir"] == str(several.folder / "study")
    ]
    assert (first["JobState"], last["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert {(job["NumTasks"], job["NumCPUs"], job["TresPerJob"]) for job in (first, last)} == {
        ("2", "2", "gres:gpu:2")
    }
    model = several.folder / "study" / paths.model("slow", 0, 0)
    log = (several.folder / "study" / paths.log("train", "slow", 0, 0)).read_text()
    (at,) = re.findall(r"at update (\d+)", log)
    assert 0 < int(at) < UPDATES
    assert read_json(model / "train.json")["measured"]["processes"] == 2
    done = alone.snakemake(weights("slow"), "--cores", "1", env={"SLOW_ONCE": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    one, two = (load_file(s.folder / "study" / weights("slow")) for s in (alone, several))
    for name in one:
        assert np.allclose(one[name], two[name], rtol=1e-3, atol=1e-5), name


# --- jobs that wait ------------------------------------------------------------------------------


@contextmanager
def waiting(
    study: Study, cluster: slurm.Cluster, *words: str, jobs: int = 1, programs: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A run with at least ``jobs`` jobs in the queue, none of which starts before the end.

    ``programs``: a folder whose commands take the place of the cluster's.
    """
    before = set(cluster.jobs())
    cluster.ask("scontrol", "update", "partitionname=cpu", "state=down")
    path = {} if programs is None else {"PATH": f"{programs}:{cluster.env['PATH']}"}
    process = study.start(*words, *PROFILE, env=cluster.env | path)
    try:
        deadline = time.monotonic() + 120
        while len(set(cluster.jobs()) - before) < jobs:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no job was submitted"
            time.sleep(0.2)
        yield process
    finally:
        cluster.ask("scontrol", "update", "partitionname=cpu", "state=up")
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)


def test_a_cancelled_run_leaves_no_job_in_the_queue(cluster: slurm.Cluster, tmp_path: Path) -> None:
    """The plugin submits what was waiting to be submitted even after it was interrupted."""
    study = create(tmp_path / "study")
    seeds = range(8)
    targets = [weights("unet", seed) for seed in seeds]
    # So slowly that most of them wait to be submitted when the first one is in the queue.
    slow = tmp_path / "slow" / "sbatch"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {shutil.which("sbatch", path=slurm.PLACES)} "$@"\n')
    slow.chmod(0o755)
    with waiting(study, cluster, *targets, programs=slow.parent) as process:
        process.send_signal(signal.SIGINT)
        said = "".join(process.communicate(timeout=120))
        assert cluster.ask("squeue", "--noheader") == "", said
    assert process.returncode != 0
    again = study.plan(weights("unet"))
    assert again.rules["train"] == 1  # neither locked, nor anything taken for done


def test_an_edit_while_jobs_wait_is_told(run: Run, tmp_path: Path) -> None:
    """Jobs read workflow, configuration and code again when they start."""
    study = run.study.copy(tmp_path / "study")
    text = study.configfile.read_text(encoding="utf-8")
    study.configfile.write_text(text.replace("updates: 4", "updates: 5"), encoding="utf-8")
    targets = [weights("unet"), weights("template")]
    others = [study.results / part for part in ("synthesized", "metrics", "tables")]
    before = {file: file.read_bytes() for part in others for file in files_in(part)}
    with waiting(study, run.cluster, *targets, "--retries", "0", jobs=2) as process:
        append(study.repository / "baselines" / "template.py", "EDITED = True")
        study.configfile.write_text(text.replace("updates: 4", "updates: 6"), encoding="utf-8")
        run.cluster.ask("scontrol", "update", "partitionname=cpu", "state=up")
        said = "".join(process.communicate(timeout=240))
    line = "relad train: error: the code of 'train' changed since this job was planned -- run"
    assert process.returncode == 1 and said.count(line) == 1, said
    # The other one ran as it was planned, whatever the file says by now.
    record = read_json(study.folder / "study" / paths.model("unet", 0, 0) / "train.json")
    assert record["counts"]["updates"] == 5
    assert {file: file.read_bytes() for part in others for file in files_in(part)} == before
    assert study.plan(*targets).rules["train"] == 2


def test_no_job_runs_what_was_not_planned(
    finished_study: Study, cluster: slurm.Cluster, tmp_path: Path
) -> None:
    """snakemake#3234: a group looked at its people anew, and would register again who is done."""
    study = finished_study.copy(tmp_path / "study")
    first, second = sorted(study.results.glob("registered/tiny-external/sub-*"))
    shutil.rmtree(first)
    for person in (first, second):
        shutil.rmtree(study.results / "normalized" / "tiny-external" / person.name)
    targets = [
        str(paths.normalized("tiny-external", person.name.removeprefix("sub-")))
        for person in (first, second)
    ]
    assert study.plan(*targets).rules == {"register": 1, "normalize": 2}
    with waiting(study, cluster, *targets, "--retries", "0") as process:
        append(study.repository / "relad" / "steps" / "register.py", "EDITED = True")
        cluster.ask("scontrol", "update", "partitionname=cpu", "state=up")
        said = "".join(process.communicate(timeout=240))
    assert "the code of 'register' changed since this job was planned" in said
    assert second.is_dir(), "what was up to date is gone"


def files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def append(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")


# --- a small cluster -----------------------------------------------------------------------------


def test_a_node_with_fewer_cores_than_threads_and_without_gpus(
    finished_study: Study, tmp_path: Path
) -> None:
    """SLURM would let these jobs wait for ever, or refuse them."""
    study = finished_study.copy(tmp_path / "study")
    people = [path.name for path in study.results.glob("registered/tiny-external/sub-*")]
    together = [str(paths.registered("tiny-external", p.removeprefix("sub-"))) for p in people]
    with slurm.running(tmp_path / "small", cores=1) as small:
        for removed, targets in {
            ("models/unet",): [weights("unet")],
            ("raw/tiny-train", "registered/tiny-external"): [
                str(paths.raw("tiny-train")),
                *together,
            ],
        }.items():
            for made in removed:
                shutil.rmtree(study.results / made)
            with waiting(study, small, *targets, "--cores", "8", jobs=len(removed)):
                pass
        jobs = small.submissions("_")
    assert len(jobs) == 3
    for job in jobs:
        assert job["NumCPUs"] == "1" and "TresPerJob" not in job
