"""Folds of a cross-validation, cut over subjects so that nobody stands on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relad.errors import ReladError


def assign_folds(subjects: Sequence[Mapping[str, Any]], count: int, seed: int) -> dict[str, int]:
    """Deal subjects to folds at random, balanced in total and within each group.

    Parameters
    ----------
    subjects
        Rows with ``subject`` (label) and, optionally, ``group``; a subject may stand in several
        rows (sessions) and gets one fold. Their order does not matter.
    count
        Number of folds, at least 2.
    seed
        Of the random order within each group.

    Returns
    -------
    Label -> fold, 0 to ``count - 1``, sorted by label. The sizes of the folds differ by at most
    one, in total and within each group.

    Raises
    ------
    ReladError
        Where there are fewer subjects than folds, or a subject stands in two groups.
    """
    groups: dict[str, str] = {}
    for subject in subjects:
        label, group = str(subject["subject"]), str(subject.get("group") or "")
        if groups.setdefault(label, group) != group:
            raise ReladError(f"subject {label} stands in the groups {groups[label]} and {group}")
    if count < 2 or count > len(groups):
        raise ReladError(
            f"{len(groups)} subjects cannot be cut into {count} folds",
            hint="folds.count must be at least 2 and at most the number of subjects",
        )
    members: dict[str, list[str]] = defaultdict(list)
    for label in sorted(groups):
        members[groups[label]].append(label)
    rng = np.random.default_rng(seed)
    # Each group is dealt on where the last one ended, which keeps the totals balanced too.
    dealt = [member for group in sorted(members) for member in rng.permutation(members[group])]
    folds = {str(label): position % count for position, label in enumerate(dealt)}
    return dict(sorted(folds.items()))
