"""The simulation of a cluster, by hand; its submissions are those that Snakemake plans."""

from __future__ import annotations

import pytest

from benchmarks import scale
from benchmarks.scale import LATENCY, NODE, Work, simulate
from relad.errors import ReladError
from relad.fileio import write_text
from relad.study.config import DEFAULT


def test_a_chain_takes_the_sum_on_any_nodes():
    chain = [Work("a", 1, 10), Work("b", 1, 20, (0,)), Work("c", 1, 5, (0,))]
    for nodes in (1, 4):
        seconds, path = simulate(chain, nodes)
        assert seconds == 30 + 2 * LATENCY
        assert +path == {"a": 10 + LATENCY, "b": 20 + LATENCY}


def test_what_finds_no_cores_waits_and_the_path_says_so():
    wide = [Work("wide", NODE, 100) for _ in range(4)]
    assert simulate(wide, 4)[0] == 100 + LATENCY
    seconds, path = simulate(wide, 2)
    assert seconds == 2 * (100 + LATENCY)
    assert +path == {"wide": 100 + LATENCY, "waiting for cores": 100 + LATENCY}


def test_no_job_is_split_over_nodes():
    half = NODE // 2 + 1
    assert simulate([Work("a", half, 100) for _ in range(3)], 2)[0] == 2 * (100 + LATENCY)


def test_what_most_follows_from_goes_first():
    works = [Work("short", NODE - 1, 50), Work("first", NODE, 50), Work("then", 1, 500, (1,))]
    assert simulate(works, 1)[0] == 50 + 500 + 2 * LATENCY


def test_submissions_are_those_that_are_planned():
    planned = scale.plan(43, DEFAULT)
    works = scale.submissions(43, DEFAULT)
    of_people = [work for work in works if work.step == "register and normalize"]
    assert len(of_people) == planned["submissions of people"] == 3  # of 35 people, and of 8
    assert len(works) - len(of_people) == planned["other submissions"]
    assert float(planned["memory (MB)"]) < 2000


def test_overhead_is_time_without_a_job():
    times = {"phantom": [10.0], "train": [20.0, 20.0]}
    jobs, share = scale.overhead(times, elapsed=33.0, cores=2)
    assert jobs == 3 and share == pytest.approx(6 / 60)


def test_people_that_are_not_counted_are_refused(tmp_path):
    write_text(tmp_path / "a.yaml", "cohorts: {a: {role: train, source: bids, path: x}}\n")
    with pytest.raises(ReladError, match="not counted"):
        scale.study_of(10, tmp_path / "a.yaml")
