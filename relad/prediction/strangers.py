"""Whether a person lies outside of whom a model was trained on, and in what.

What a model says of a stranger looks like everything else that it says; so it is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scipy import stats

from relad.prediction.record import Record
from relad.status import Kind

#: Share of people like the training people whom a measure calls strangers.
LEVEL = 0.01
#: Measures of which the extremes count: 45 years are outside of 55 to 90, whatever the spread.
BY_EXTREMES = ("age",)

#: People do not differ by less, however alike the training people were.
LEAST_SD = 0.01

#: Measure -> how it is told, with its unit.
_WORDS = {"age": "age {} years", "brain_volume_ml": "brain volume {} ml"}
_OF_MRI = {
    "dark": "darkest parts of the brain in the {} (standardised intensity): {}",
    "bright": "brightest parts of the brain in the {} (standardised intensity): {}",
    "detail": "noise and fine structure of the {}: {}",
}


def interval(measure: str, seen: Mapping[str, Any]) -> tuple[float, float]:
    """Least and greatest value of a measure that is no stranger's.

    The extremes of the training people, or the interval in which the next of them lies with
    probability 1 - :data:`LEVEL` if they are normally distributed (Student's t, for one new
    observation), whichever is wider.
    """
    low, high = float(seen["low"]), float(seen["high"])
    n, sd = int(seen["n"]), max(float(seen["sd"]), LEAST_SD)
    if measure in BY_EXTREMES or n < 3:
        return low, high
    reach = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * sd * math.sqrt(1 + 1 / n)
    return min(low, seen["mean"] - reach), max(high, seen["mean"] + reach)


def warnings(
    record: Record,
    kind: Kind,
    scanner: str | None,
    measures: Mapping[str, float],
    age: object = None,
) -> list[str]:
    """Say in what a person differs from whom a model was trained on, and what nobody can tell.

    Parameters
    ----------
    record
        Of the model.
    kind
        Of the person's scans.
    scanner
        That the T1w names.
    measures
        Of the person, see :func:`relad.data.seen.measures`.
    age
        As it is told, where that is no number: "89+" of those whom a rule forbids to tell apart.

    Returns
    -------
    A sentence each; none where nothing is known to differ.
    """
    said = []
    seen, people = record.seen["measures"], record.seen["people"]
    if record.kind is not kind:
        theirs = record.kind.note or "measured scans"
        said.append(
            f"The model was trained on {theirs}, this person's are {kind.note or 'measured'}: what "
            "it says need not hold for this person."
        )
    known = record.seen["scanners"]
    if scanner is None:
        said.append("The T1w does not name its scanner: whether the model saw such one is unknown.")
    elif scanner not in known:
        of = ", ".join(known) or "scanners of which nothing is known"
        said.append(f"Scanner {scanner}: the model was trained on {of}.")
    for name, value in measures.items():
        if name not in seen:
            continue
        low, high = interval(name, seen[name])
        if not low <= value <= high:
            least, most = (_short(seen[name][key]) for key in ("low", "high"))
            said.append(f"{_told(name, value)}; of the {people} training people {least} to {most}.")
    if "age" in seen and "age" not in measures:
        low, high = interval("age", seen["age"])
        given = f"given as {str(age)!r}, which is no number of years" if age else "not given"
        said.append(
            f"The person's age is {given}; the training people were {_short(low)} to "
            f"{_short(high)} years old."
        )
    return said


def _told(name: str, value: float) -> str:
    if name in _WORDS:
        words = _WORDS[name].format(_short(value))
    else:
        modality, _, what = name.rpartition("_")
        words = _OF_MRI[what].format(modality, _short(value))
    return words[0].upper() + words[1:]


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.3f}"
