"""Checks of what a configuration gives to a method's constructor."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any


def _taken(cls: type) -> dict[str, Any]:
    """Parameters of a class's constructor, and of those that it passes them on to, by name."""
    found: dict[str, Any] = {}
    for base in inspect.getmro(cls):
        if "__init__" in vars(base):
            for parameter in inspect.signature(base.__init__).parameters.values():
                found.setdefault(parameter.name, parameter.default)
    return found


def defaults(cls: type) -> dict[str, Any]:
    """What a class's constructor, and those that it passes parameters on to, have by default."""
    empty = inspect.Parameter.empty
    return {name: value for name, value in _taken(cls).items() if value is not empty}


def require_known(cls: type, given: Iterable[str]) -> None:
    """Refuse the name of a parameter that no constructor of a class takes.

    Raises
    ------
    ValueError
        Naming it, those nearest to it, or else all.
    """
    taken, known = _taken(cls), defaults(cls)
    for name in given:
        if name not in taken:
            near = difflib.get_close_matches(name, known) or sorted(known)
            told = ", ".join(near) or "none"
            raise ValueError(f"has no parameter {name!r} -- known: {told}")


def require_kinds(cls: type, given: Mapping[str, Any]) -> None:
    """Refuse what is of another kind than the constructor's default: text for a number, say.

    A parameter whose default is None may be left unset, and its kind is not known.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (Real, "a number"),
        (str, "a word"),
        (Sequence, "a list"),
    )

    def kind(value: Any) -> str | None:
        return next((name for type_, name in kinds if isinstance(value, type_)), None)

    usual = defaults(cls)
    for name, value in given.items():
        known = kind(usual.get(name))
        if known is not None and kind(value) != known:
            raise ValueError(f"{name} {value!r} is not {known}")


def require_choice(known: Iterable[str], **given: Any) -> None:
    """Refuse a value that is none of the known ones.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    names = list(known)
    for name, value in given.items():
        if value not in names:
            raise ValueError(f"{name} {value!r} is none of {', '.join(names)}")


def require_within(
    low: int | float,
    high: int | float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    **given: Any,
) -> None:
    """Refuse what is no finite number from ``low`` to ``high``.

    ``above`` and ``below`` leave the lower and the upper end out. None is not looked at: whether a
    parameter may be left unset is for :func:`require_kinds`.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    for name, value in given.items():
        if value is None:
            continue
        if (
            isinstance(value, Real)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (low < value if above else low <= value)
            and (value < high if below else value <= high)
        ):
            continue
        ends = [f"{'above' if above else 'of at least'} {low:g}"] if low > -math.inf else []
        ends += [f"{'below' if below else 'at most'} {high:g}"] if high < math.inf else []
        what = f"a number {' and '.join(ends)}" if ends else "a finite number"
        raise ValueError(f"{name} {value!r} is not {what}")


def require_whole(low: int, **given: Any) -> None:
    """Refuse what is no whole number of at least ``low``.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    for name, value in given.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
            raise ValueError(f"{name} {value!r} is not a whole number of at least {low}")


def require_indices(count: int, what: str, **given: Any) -> None:
    """Refuse what is no list of whole numbers of at least 0 and below ``count``, each once.

    Raises
    ------
    ValueError
        Naming the parameter, its value and of how many of ``what`` they are.
    """
    for name, value in given.items():
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        whole = listed and all(isinstance(k, Integral) and not isinstance(k, bool) for k in value)
        if not whole or not {*value} <= {*range(count)} or len({*value}) < len(value):
            raise ValueError(f"{name} at {what} {value!r} of {count} {what}")


def section(**given: Any) -> dict[str, Any]:
    """Parameters of a part of a method, named as its own; none of one that is left out (None).

    Raises
    ------
    ValueError
        Where it is something else, such as false.
    """
    ((name, value),) = given.items()
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} {value!r} is not a section of parameters")
    return dict(value)


def require_widths(**given: Any) -> None:
    """Refuse what is no list of at least one whole number above 0, as of a network's levels.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    for name, value in given.items():
        for entry in _entries(name, value):
            require_whole(1, **{f"{name}: entry": entry})


def require_each_within(
    low: int | float, high: int | float = math.inf, *, above: bool = False, **given: Any
) -> None:
    """Refuse what is no list of at least one number that :func:`require_within` lets pass.

    The upper end is left out.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    for name, value in given.items():
        for entry in _entries(name, value):
            require_within(low, high, above=above, below=True, **{f"{name}: entry": entry})


def _entries(name: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"{name} {value!r} is not a list of at least one number")
    return value
