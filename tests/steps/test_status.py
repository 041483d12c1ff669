"""How far a study is, of one that is begun, running, failed, killed and finished; and of none."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relad import cli
from relad.fileio import write_json, write_table, write_text
from relad.study import paths, progress
from relad.study.paths import REPOSITORY
from relad.study.running import Run

PEOPLE = ("01", "02", "03")


class Study:
    """A study's results in the working folder, as its jobs leave them."""

    def __init__(self, people=PEOPLE):
        self.names = ["ingest/sim", "enroll/sim"]
        self.names += [f"{step}/sim_{p}" for p in people for step in ("register", "normalize")]
        self.names += ["pack/sim", "train/rela_0_0", "train/unet_0_0", "tables/main"]

    def plan(self, *done: str) -> None:
        """Begin a run; what is ``done`` is not to run."""
        jobs = [(f"results/logs/{name}.log", name not in done) for name in self.names]
        progress.keep(["--cores", "2", "all"], jobs)

    def begin(self, name: str, said: str = "") -> None:
        self.write(f"results/logs/{name}.log", said)

    def finish(self, *names: str, seconds: float = 10) -> None:
        for name in names:
            self.begin(name)
            self.write(f"results/benchmarks/{name}.tsv", f"s\th:m:s\n{seconds}\t0:00:10\n")

    @staticmethod
    def write(file: str, text: str) -> None:
        """As Snakemake and a shell do."""
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text, encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    return Study()


def status(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert cli.main(["status", *options]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(status(capsys, "--json"))


def test_a_study_that_is_running(study: Study, capsys) -> None:
    study.plan()
    study.finish("ingest/sim", "enroll/sim")
    study.finish("register/sim_01", "register/sim_02", "normalize/sim_01", seconds=20)
    bar = "\rtrain rela:   5%|   | 20/400 [00:05<01:35,  4.00update/s]"
    bar += "\rtrain rela:  10%|#  | 40/400 [00:10<01:30,  4.00update/s]"
    study.begin("train/rela_0_0", f"\rtrain rela:   0%| | 0/400 [00:00<?, ?update/s]{bar}")
    study.begin("register/sim_03")
    with Run.at_work(Path(".snakemake").absolute()):
        said, plain = status(capsys), told(capsys)
    assert said.splitlines()[0] == (
        "results: a run is at work, 5 of 12 jobs done of: snakemake --cores 2 all"
    )
    assert "sim: 3 people: 1 normalized, 1 registered, 1 enrolled" in said
    assert "  train rela 0 0: 40 of 400, 0:01:30 left (results/logs/train/rela_0_0.log)" in said
    assert "  register sim 03 (results/logs/register/sim_03.log)" in said
    # The bar's own 90, register 20, twice normalize 20; pack, unet and the table are unknown.
    assert plain["left"] == {
        "seconds": 90,
        "at_a_time": 2,
        "measured": 3,
        "unmeasured": {"pack": 1, "train": 1, "tables": 1},
    }
    assert "time left: about 0:01:30 with 2 at a time, an estimate from 3 jobs" in said
    assert "not counted: pack 1, train 1, tables 1" in said
    assert [next(iter(plain["steps"])), plain["steps"]["register"]["running"]] == ["ingest", 1]


def test_a_training_is_expected_to_take_as_long_as_that_method_does(study: Study, capsys) -> None:
    study.names += ["train/rela_1_0", "train/new_0_0"]
    study.finish("train/rela_0_0", seconds=100)
    study.finish("train/unet_0_0", seconds=10)
    study.plan(*(set(study.names) - {"train/rela_1_0", "train/new_0_0"}))
    assert told(capsys)["left"]["seconds"] == 100 + 55


def test_what_failed_and_why(study: Study, capsys) -> None:
    study.plan("ingest/sim", "enroll/sim")
    line = "relad register: error: scan.nii: No space left on device"
    study.begin("register/sim_01", f"a note\n{line}\n")
    study.begin("train/unet_0_0", "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n")
    said, plain = status(capsys), told(capsys)
    assert "no run is at work, 2 of 12 jobs done" in said
    assert f"failed:\n  register sim 01: {line} (results/logs/register/sim_01.log)\n" in said
    assert "  train unet 0 0: KeyError: 'a' (results/logs/train/unet_0_0.log)" in said
    assert [job["reason"] for job in plain["jobs"]] == [line, "KeyError: 'a'"]
    study.plan("ingest/sim", "enroll/sim")  # a new run, which has not come so far
    assert not told(capsys)["jobs"]


def test_a_study_that_was_killed(study: Study, capsys) -> None:
    study.finish("train/rela_0_0")  # by an earlier run; of other settings meanwhile
    study.plan("ingest/sim", "enroll/sim")
    study.begin("train/rela_0_0", "train rela: 10%|# | 40/400 [00:10<01:30, 4.0update/s]")
    study.begin("register/sim_01")
    with pytest.raises(KeyboardInterrupt), Run.at_work(Path(".snakemake").absolute()):
        raise KeyboardInterrupt
    said = status(capsys)
    assert "no run is at work" in said and "running" not in said
    assert "ended without a word, and gone on with by the same command:\n" in said
    assert "  train rela 0 0: 40 of 400, 0:01:30 left" in said
    assert told(capsys)["steps"]["train"] == {
        "done": 0, "running": 0, "failed": 0, "ended": 1, "waiting": 1
    }  # fmt: skip


def test_a_finished_study_and_who_was_dropped(study: Study, capsys) -> None:
    study.plan()
    study.finish(*study.names)
    write_table(
        paths.enrolled("sim"),
        [{"subject": "01", "usable": "no", "reason": "FLAIR missing"},
         {"subject": "02", "usable": "yes"}, {"subject": "03", "usable": "yes"}],
        ("subject", "usable", "reason"),
    )  # fmt: skip
    judged = {"status": "ok", "reason": None}
    off = {"status": "excluded", "reason": "registration failed"}
    verdicts = [
        {"subject": "02", **judged, "tracers": {"tau": off, "amyloid": judged}},
        {"subject": "03", **judged, "tracers": {"tau": off}},
    ]
    write_json(paths.quality("sim") / "subjects.json", verdicts)
    rows = [{"subject": "02", "included": "yes"}, {"subject": "03", "included": "no"}]
    rows[1]["reason"] = "by hand"
    write_table(paths.packed("sim") / "subjects.tsv", rows, ("subject", "included", "reason"))
    said, plain = status(capsys), told(capsys)
    assert "12 of 12 jobs done" in said and "time left" not in said and "waiting" not in said
    assert plain["people"] == {"sim": {"packed": 1, "dropped": 2}}
    assert plain["dropped"]["sim"] == {
        "FLAIR missing": ["01"],
        "by hand": ["03"],
        "registration failed": ["tau of 02", "tau of 03"],
    }
    assert "  dropped tau of 02, tau of 03: registration failed" in said
    assert plain["left"] is None and plain["jobs"] == []


def test_people_who_are_not_judged_yet(study: Study, capsys) -> None:
    study.plan()
    study.finish("ingest/sim", "enroll/sim", "register/sim_01")
    off = {"status": "excluded", "reason": "T1w: registration failed", "tracers": {}}
    write_json(paths.registered("sim", "01") / "status.json", {"subject": "01", **off})
    plain = told(capsys)
    assert plain["people"] == {"sim": {"enrolled": 2, "dropped": 1}}
    assert plain["dropped"] == {"sim": {"T1w: registration failed": ["01"]}}


def test_runs_that_kept_no_plan(study: Study, capsys) -> None:
    study.finish("ingest/sim", "enroll/sim", "register/sim_01")
    time.sleep(0.01)
    study.begin("register/sim_01", "relad register: error: again\n")
    study.begin("train/unet_0_0")
    said = status(capsys)
    assert "2 of 4 jobs done of those that were begun (its runs kept no plan)" in said
    assert "register sim 01: relad register: error: again" in said


@pytest.mark.parametrize(
    ("place", "said"),
    [("empty", "holds no study"), ("thesis", "holds no study"), ("gone", "no such folder")],
)
def test_what_is_no_study(study: Study, capsys, place: str, said: str) -> None:
    Path("empty").mkdir()
    write_text("thesis/logs/chapter.txt", "years")
    assert cli.main(["status", place]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"relad status: error: {place}: {said}")


def test_a_damaged_plan(study: Study, capsys) -> None:
    write_text("results/plan.json", "{}")
    assert cli.main(["status"]) == 2
    assert "results/plan.json: lacks command, jobs" in capsys.readouterr().err


def test_a_thousand_people_take_a_second_and_no_torch(study: Study, tmp_path: Path) -> None:
    study = Study([f"{n:04d}" for n in range(1000)])
    study.plan()
    study.finish("ingest/sim", "enroll/sim", *(n for n in study.names if n.startswith("register")))
    program = (
        "import sys, time; from relad import cli; started = time.process_time();"
        "assert cli.main(['status', sys.argv[1]]) == 0;"
        "assert not {'torch', 'numpy', 'pandas'} & sys.modules.keys();"
        "print(time.process_time() - started)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "results")]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1000 people: 1000 registered" in done.stdout
    assert float(done.stdout.splitlines()[-1]) < 1
