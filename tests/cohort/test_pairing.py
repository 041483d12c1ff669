"""Which MRI a PET gets, the days between them, and why one gets none."""

from __future__ import annotations

from pathlib import Path

from relad.cohort.pairing import PAIR_COLUMNS, pair, visit_of
from relad.fileio import write_table


def scan(kind: str, session: str | None, day: str | None, tracer: str | None = None, subject="A"):
    name = f"{kind}{'-' + tracer if tracer else ''}@{session}"
    return {
        "subject": subject, "kind": kind, "tracer": tracer, "session": session, "acq_date": day,
        "output": name,
    }  # fmt: skip


def only(rows: list[dict], gap: int = 180) -> dict:
    (found,) = pair(rows, gap)
    return found


def test_the_same_session_goes_before_a_nearer_day():
    found = only(
        [
            scan("T1w", "bl", "2020-01-01"),
            scan("T1w", "m03", "2020-03-01"),
            scan("PET", "bl", "2020-02-20", "tau"),
        ]
    )
    assert (found["t1w"], found["gap_days"], found["status"]) == ("T1w@bl", 50, "paired")
    assert found["flair"] is None


def test_a_pet_of_its_own_session_gets_the_nearest_mri_before_or_after():
    rows = [
        scan("T1w", "m00", "2020-01-01"),
        scan("FLAIR", "m00", "2020-01-01"),
        scan("T1w", "m12", "2021-01-01"),
        scan("FLAIR", "m12", "2021-01-03"),
        scan("PET", "pet", "2020-12-01", "tau"),
    ]
    found = only(rows)
    assert (found["t1w"], found["flair"], found["gap_days"]) == ("T1w@m12", "FLAIR@m12", -31)


def test_a_t1w_with_flair_goes_before_a_nearer_one_without():
    rows = [
        scan("T1w", "m00", "2020-01-01"),
        scan("FLAIR", "m00", "2020-01-01"),
        scan("T1w", "m03", "2020-04-01"),
        scan("PET", "pet", "2020-04-02", "tau"),
    ]
    assert only(rows)["t1w"] == "T1w@m00"
    assert only(rows, gap=30)["t1w"] == "T1w@m03"


def test_beyond_the_limit_there_is_no_pair_and_the_reason_says_how_far():
    rows = [scan("T1w", "bl", "2020-01-01"), scan("PET", "m12", "2021-01-01", "tau")]
    found = only(rows)
    assert (found["status"], found["t1w"]) == ("unpaired", None)
    assert found["reason"] == "its nearest T1w: 366 days apart, the limit is 180"
    assert only(rows, gap=366)["status"] == "paired"
    same_visit = [scan("T1w", "bl", "2020-01-01"), scan("PET", "bl", "2021-01-01", "tau")]
    assert only(same_visit)["status"] == "unpaired", "one visit's label does not shorten a year"


def test_without_dates_a_session_pairs_or_the_only_mri_there_is():
    assert only([scan("T1w", "bl", None), scan("PET", "bl", None, "tau")])["gap_days"] is None
    assert only([scan("T1w", None, None), scan("PET", None, None, "tau")])["status"] == "paired"
    found = only([scan("T1w", "bl", None), scan("PET", "pet", None, "tau")])
    assert found["status"] == "paired"
    assert found["reason"] == "dates unknown; the subject has T1w of one session only"
    found = only([scan("T1w", "a", None), scan("T1w", "b", None), scan("PET", "pet", None, "tau")])
    assert found["reason"] == "its nearest T1w: dates unknown and sessions differ"


def test_a_subject_without_t1w_and_other_subjects_mri():
    rows = [scan("PET", "bl", "2020-01-01", "tau"), scan("T1w", "bl", "2020-01-01", subject="B")]
    assert only(rows)["reason"] == "the subject has no T1w"


def test_the_visit_with_most_tracers_is_used_then_the_earliest(tmp_path: Path):
    rows = [
        scan("T1w", "m00", "2020-01-01"),
        scan("FLAIR", "m00", "2020-01-01"),
        scan("T1w", "m24", "2022-01-01"),
        scan("FLAIR", "m24", "2022-01-01"),
        scan("PET", "m00", "2020-01-05", "tau"),
        scan("PET", "m24", "2022-01-05", "tau"),
        scan("PET", "m24b", "2022-03-05", "tau"),
        scan("PET", "m24", "2022-01-06", "amyloid"),
    ]
    write_table(tmp_path / "pairs.tsv", pair(rows, 180), PAIR_COLUMNS)
    visit = visit_of(tmp_path, "A")
    assert visit.t1w == tmp_path / "T1w@m24" and visit.flair == tmp_path / "FLAIR@m24"
    assert visit.pets == {
        "tau": tmp_path / "PET-tau@m24",
        "amyloid": tmp_path / "PET-amyloid@m24",
    }
    write_table(tmp_path / "pairs.tsv", pair(rows[:-1], 180), PAIR_COLUMNS)
    assert visit_of(tmp_path, "A").t1w == tmp_path / "T1w@m00"
    assert visit_of(tmp_path, "B") is None
