"""What jobs ask for, against what jobs of finished studies needed."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from benchmarks.resources import FACTOR, page, read
from relad.study import config, resources
from relad.study.paths import REPOSITORY
from relad.study.resources import COSTS, Scans, Size, estimate, largest_scan, request, size_of

REPORT = REPOSITORY / "docs" / "benchmarks"
MEASURED = read(REPORT / "resources.tsv")


def test_every_formula_is_within_a_factor_of_two_of_what_was_measured() -> None:
    far = [(row.study, row.step, row.job, row.ratios) for row in MEASURED if row.off > FACTOR]
    assert far == []
    assert {"register", "normalize", "train", "synthesize"} <= {row.step for row in MEASURED}


def test_the_page_is_that_of_the_table() -> None:
    assert (REPORT / "resources.md").read_text(encoding="utf-8") == page(MEASURED)


def test_a_job_asks_for_more_than_was_ever_measured() -> None:
    for row in MEASURED:
        memory, minutes = request(row.step, row.size)
        assert memory > row.memory_mb
        assert row.seconds is None or 60 * minutes > 2 * row.seconds


def test_a_fine_scan_and_a_thousand_people_ask_for_more() -> None:
    fine = Size(scan=85_000_000)
    assert request("register", fine)[0] > 2 * 2912 > request("register", Size())[0]
    few, many = (Size(subjects=n, tracers=3, grid=76800, batch=2) for n in (20, 1000))
    assert request("train", many)[0] - request("train", few)[0] == pytest.approx(1580, abs=100)
    few, many = (Size(subjects=n, tracers=3, grid=614_400, images=3 * n) for n in (20, 1000))
    assert request("evaluate", many)[0] == request("evaluate", few)[0]  # test_streaming.py
    assert request("ceiling", many)[0] == request("ceiling", few)[0]
    assert request("tables", many)[0] - request("tables", few)[0] > 7000
    everybody = Size(subjects=10**6, grid=4_608_000, tracers=2)
    assert everybody.mapped_mb(10**6) > 10**6 and request("train", everybody)[0] < 20_000


def test_another_attempt_gets_as_much_again() -> None:
    for step in COSTS:
        first, second = request(step, Size()), request(step, Size(), attempt=2)
        assert second[0] == 2 * first[0] and second[1] >= first[1]
    assert request("register", Size(), attempt=2)[1] == 2 * request("register", Size())[1]


def test_jobs_that_travel_together_do_not_each_ask_for_half_an_hour() -> None:
    small = Size(scan=10**6, working=10**6)
    assert request("normalize", small)[1] < request("pack", small)[1] == 30
    assert {step for step, cost in COSTS.items() if cost.grouped} == {"register", "normalize"}


def test_a_training_never_asks_for_more_than_two_days() -> None:
    long = Size(grid=4_608_000, batch=2, updates=100_000, second=0.75)
    assert estimate("train", long)[1] > 7 * 24 * 3600
    assert request("train", long)[1] == 2880 == request("train", long, attempt=3)[1]


def test_sizes_follow_from_the_study() -> None:
    study = config.load()
    people = {"sim-train": ["x"] * 20, "sim-external": ["x"] * 6}
    rela = {"method": "rela", "fold": "0", "seed": "0"}
    training = size_of("train", study, people, rela)
    assert (training.subjects, training.grid, training.updates) == (20, 76800, 400)
    assert training.batch == study["training"]["batch_size"]
    unet = size_of("train", study, people, {**rela, "method": "unet"})
    no_adversary = size_of("train", study, people, {**rela, "method": "rela-no-adversary"})
    assert training.second > 2 * no_adversary.second == 2 * unet.second > 0
    for cohort, images in (("sim-train", 15), ("sim-external", 18)):
        drawn = size_of("synthesize", study, people, {"cohort": cohort, **rela})
        assert (drawn.images, drawn.evaluations) == (images, 1)
    sampled = {"cohort": "sim-train", **rela, "method": "rela-sampled"}
    assert size_of("synthesize", study, people, sampled).evaluations == 25 * 8
    by_name = {"cohort": "sim-train", **rela, "sampler": "ddim-5x10"}
    assert size_of("synthesize", study, people, by_name).evaluations == 50
    search = size_of("search", study, people, rela)
    assert search.trials == study["tuning"]["trials"]


def nifti(shape: tuple[int, ...], edges: tuple[float, ...] = (1, 1, 1), order: str = "<") -> bytes:
    """The header of an image (x, y, z), with its voxels' edges in mm."""
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into(f"{order}8f", header, 76, 1, *edges, 0, 0, 0, 0)
    return bytes(header)


@pytest.mark.parametrize("order", "<>")
def test_the_largest_scan_is_read_from_headers(tmp_path: Path, order: str) -> None:
    for name, shape, edges in (("a", (10, 20, 30), (1, 2, 0.5)), ("b", (5, 5, 5), (9, 9, 9))):
        header = nifti(shape, edges, order)
        (tmp_path / f"{name}.nii").write_bytes(header)
        (tmp_path / f"{name}.nii.gz").write_bytes(gzip.compress(header))
    (tmp_path / "broken.nii.gz").write_bytes(b"no gzip")
    assert largest_scan(sorted(tmp_path.glob("*.nii*"))) == (6000, 6000.0)
    assert largest_scan([tmp_path / "broken.nii.gz", tmp_path / "none.nii"]) is None


def test_scans_are_looked_for_until_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans, person = Scans(), tmp_path / "sub-A"
    assert scans.largest(person) is None
    for place, edge in (("anat", 10), ("ses-bl/anat", 20)):
        (person / place).mkdir(parents=True)
        (person / place / "sub-A_T1w.nii").write_bytes(nifti((edge, 10, 10)))
    assert scans.largest(person) == (2000, 2000.0)
    monkeypatch.setattr(resources, "largest_scan", None)
    assert scans.largest(person) == (2000, 2000.0)


def test_a_fine_scan_is_registered_on_the_working_grid() -> None:
    study = config.load()
    where = {"cohort": "sim-train", "subject": "A"}
    size = size_of("register", study, {}, where, scan=(85_000_000, 85_000_000 / 8))
    assert (size.scan, size.working) == (85_000_000, round(85_000_000 / 64))
    coarse = size_of("register", study, {}, where, scan=(1000, 1000 * 27.0))
    assert coarse.working == 1000
    assert size_of("register", study, {}, where).scan == resources.UNKNOWN_SCAN
