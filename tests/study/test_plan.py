"""What a dry run says last: few lines that tell what would run, and why."""

from __future__ import annotations

from relad.study.plan import Job, Submission, summary


def test_nothing_to_run_says_nothing():
    assert summary([Job("all", {})]) == []


def test_jobs_are_counted_by_stage_with_the_names_that_matter():
    jobs = [Job("train", {"method": m, "fold": "0", "seed": "0"}, ("settings",)) for m in "ba"]
    jobs += [Job("evaluate_sampler", {"method": "a", "cohort": "c"})]
    jobs += [Job("tables", {"name": "main"}), Job("pack", {"cohort": "c"}, ("code",))]
    assert summary(jobs) == [
        "people: pack 1 (c)",
        "methods: train 2, evaluate 1 (a, b)",
        "results: tables 1 (main)",
        "because of code: pack 1; settings: train 2",
    ]


def test_jobs_of_no_name_are_counted_without_brackets():
    assert summary([Job("report", {}), Job("tune", {})]) == ["tuning: tune 1", "results: report 1"]


def test_a_thousand_people_take_one_line():
    jobs = [Job("train", {"method": f"m{i:03d}"}) for i in range(1000)]
    (line,) = summary(jobs)
    assert line == "methods: train 1000 (m000, m001, m002, m003, m004, m005 and 994 more)"


def test_submissions_are_counted_with_the_most_that_one_asks_for():
    submissions = [Submission(20, 4, 9000, 40), Submission(3, 3, 9500, 20), Submission(0, 8, 1, 2)]
    assert summary([Job("all", {})], submissions) == [
        "submissions of people: 2, of up to 20 each (at most 4 cores, 9500 MB, 40 min)",
        "submissions other: 1 (at most 8 cores, 1 MB, 2 min)",
    ]


def test_every_rule_of_the_workflow_has_its_line():
    from relad.study.paths import REPOSITORY

    text = "".join(f.read_text() for f in (REPOSITORY / "workflow" / "rules").glob("*.smk"))
    rules = [line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("rule ")]
    assert "enroll" in rules
    for rule in rules:
        wildcards = {"cohort": "c", "subject": "s", "method": "m", "name": "n"}
        assert summary([Job(rule, wildcards)]), rule
