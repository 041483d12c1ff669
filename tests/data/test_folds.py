"""Folds are cut over subjects, balanced, and a function of the seed alone."""

from __future__ import annotations

from collections import Counter

import pytest

from relad.data.folds import assign_folds
from relad.errors import ReladError


def people(**sizes: int) -> list[dict]:
    return [
        {"subject": f"{group}{number:03d}", "group": group}
        for group, size in sizes.items()
        for number in range(size)
    ]


def test_every_subject_has_one_fold_and_sizes_differ_by_at_most_one():
    subjects = people(CN=11, MCI=6, AD=5)
    folds = assign_folds(subjects, 4, seed=0)
    assert set(folds) == {s["subject"] for s in subjects}
    sizes = Counter(folds.values())
    assert set(sizes) == {0, 1, 2, 3}
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for group in ("CN", "MCI", "AD"):
        within = Counter(f for label, f in folds.items() if label.startswith(group))
        counts = [within[k] for k in range(4)]
        assert max(counts) - min(counts) <= 1


def test_order_and_sessions_do_not_matter_but_the_seed_does():
    subjects = people(CN=12, AD=8)
    folds = assign_folds(subjects, 4, seed=3)
    assert assign_folds([*reversed(subjects), *subjects], 4, seed=3) == folds
    assert assign_folds(subjects, 4, seed=4) != folds


def test_subjects_without_a_group_are_dealt_too():
    folds = assign_folds([{"subject": f"s{k}"} for k in range(5)], 2, seed=0)
    assert Counter(Counter(folds.values()).values()) == {2: 1, 3: 1}


@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_count_that_cannot_be_dealt_is_refused(count):
    with pytest.raises(ReladError, match=f"5 subjects cannot be cut into {count} folds"):
        assign_folds(people(CN=5), count, seed=0)


def test_a_subject_in_two_groups_is_refused():
    subjects = [*people(CN=4), {"subject": "CN000", "group": "AD"}]
    with pytest.raises(ReladError, match="CN000 stands in the groups CN and AD"):
        assign_folds(subjects, 2, seed=0)
