"""A site's settings, and what SLURM says it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.study import site
from relad.study.site import Offer, Site

#: As `sinfo --noheader --Node --format=%P|%c|%m|%G` prints it.
TOLD = """\
cpu*|16|64000|(null)
cpu*|32|128000|(null)
gpu|8|256000|gpu:a100:4
"""


def of(tmp_path: Path, text: str) -> Site:
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    return site.load(file)


def test_without_a_file_nothing_is_asked_of_the_site(tmp_path: Path) -> None:
    found = site.load(tmp_path / "site.yaml")
    assert (found.account, found.partition, found.scratch) == (None, None, None)
    assert (found.gpu.count, found.gpu.model, found.gpu.partition) == (1, None, None)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReladError, match=r"site\.yaml: unknown key 'queue' at the top level"):
        of(tmp_path, "queue: long")


def test_the_largest_node_of_the_partitions_in_use_is_what_there_is(tmp_path: Path) -> None:
    assert site.offer(of(tmp_path, ""), TOLD) == Offer(32, 128000, gpus=False)
    both = of(tmp_path, "gpu: {partition: gpu}")
    assert site.offer(both, TOLD) == Offer(8, 128000, gpus=True)
    assert site.offer(of(tmp_path, "partition: gpu"), TOLD) == Offer(8, 256000, gpus=True)


def test_no_job_may_ask_for_more_cores_than_a_node_has() -> None:
    there = Offer(4, 1000, gpus=False)
    assert [site.most_cores(asked, there) for asked in (None, 2, 8)] == [4, 2, 4]


def test_without_slurm_nothing_is_known(tmp_path: Path) -> None:
    assert site.offer(of(tmp_path, ""), "") is None


def test_a_partition_that_slurm_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReladError, match="no partition 'long' -- partitions: cpu, gpu"):
        site.offer(of(tmp_path, "partition: long"), TOLD)


def test_where_there_is_no_gpu_none_is_asked_for(tmp_path: Path) -> None:
    given = of(tmp_path, "")
    assert site.fitting(given, Offer(8, 1000, gpus=False)).gpu.count == 0
    assert site.fitting(given, Offer(8, 1000, gpus=True)) == given
    assert site.fitting(given, None) == given


def test_scratch_may_name_variables_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert site.scratch_folder(of(tmp_path, "scratch: /scratch/$SLURM_JOB_ID")) == "/scratch/17"
    with pytest.raises(ReladError, match=r"'\$NONE/x' names a variable that is not set"):
        site.scratch_folder(of(tmp_path, "scratch: $NONE/x"))


def test_a_run_ends_where_slurm_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    site.cancel("run")
    (tmp_path / "scancel").write_text("#!/bin/sh\nexec /bin/sleep 20\n", encoding="utf-8")
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setattr(site, "_SECONDS", 0.2)
    site.cancel("run")
