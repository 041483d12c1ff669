"""Killed or hindered, the study goes on to the same result or says in one line what to do.

A part of what ``python -m tests.kills`` does twenty times with a whole study.
"""

from __future__ import annotations

import random
from pathlib import Path

from relad.study import progress
from relad.study.running import PLANS
from tests.helpers.packed_study import WEIGHTS, packed_study
from tests.helpers.small_study import Study
from tests.kills.runs import CONTROLLER, CONVERTER, WORKER, Disturbed, Moment, Run, begin, finish

TARGET = ("results/enrolled/tiny-external.tsv", "--cores", "2")


def small(folder: Path) -> Study:
    """The small study, with one person in the cohort that is made here."""
    study = Study.create(folder)
    text = study.configfile.read_text(encoding="utf-8")
    people = "phantom: {subjects: 2, site: 952"
    assert people in text
    study.configfile.write_text(text.replace(people, people.replace("2", "1", 1)), "utf-8")
    return study


def made(study: Study) -> dict[str, bytes]:
    """What the target is made of: the cohort as BIDS, and who of it is enrolled."""
    folders = [study.results / part for part in ("bids", "enrolled")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(study.results)): file.read_bytes() for file in files}


def refused(study: Study) -> str:
    run = Run(study, *TARGET)
    assert run.wait() == 1
    assert "Traceback" not in run.said
    return run.line()


def test_kills_and_refusals_change_nothing(tmp_path: Path) -> None:
    study, chance = small(tmp_path / "killed"), random.Random(0)
    moments = [Moment(CONTROLLER, 0, 1), Moment(WORKER, 0, 1), Moment(CONVERTER, 2, 0)]
    disturbed = Disturbed(study, *TARGET)
    kills = [disturbed.kill(moment, chance) for moment in moments]
    assert [kill.kind for kill in kills if kill] == [CONTROLLER, WORKER, CONVERTER]
    of_controller, of_worker, of_converter = (kill for kill in kills if kill)
    assert of_controller.status < 0 and of_controller.seconds_left < 10, "its steps went on"
    told = progress.read(study.results)
    assert told.at_work is False
    assert [(job.name, job.reason) for job in told.jobs if job.state == "failed"] == [
        ("ingest tiny-external", of_converter.line)
    ]
    assert not of_controller.unlocked and of_worker.unlocked and not of_converter.unlocked
    assert "dcm2niix was ended by SIGKILL" in of_converter.line
    assert not finish(study, *TARGET)
    told = progress.read(study.results)
    assert {job.state for job in told.jobs} == {"done"} and len(told.jobs) == 3

    whole = small(tmp_path / "whole")
    whole.results.symlink_to("unmounted")
    assert "results: leads to unmounted, which is not there -- mend that" in refused(whole)
    whole.results.unlink()
    first, _ = begin(whole, *TARGET)
    assert progress.read(whole.results).at_work
    assert "another run is at work on the same files -- wait until" in refused(whole)
    assert first.wait() == 0
    assert made(study) == made(whole)
    assert not list(tmp_path.rglob(".part-*"))


def test_a_run_whose_own_files_are_gone_says_nothing_else_at_its_end(tmp_path: Path) -> None:
    """As on a disk that takes nothing any more."""
    study = packed_study(tmp_path)
    (study.folder / "study" / ".snakemake").mkdir()
    (study.folder / "study" / ".snakemake" / PLANS).touch()
    said = study.plan(WEIGHTS).output
    assert "Traceback" not in said and "rror" not in said
