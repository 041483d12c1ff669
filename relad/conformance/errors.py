"""How a method's error is told: in one line, with the place in the method that it comes from."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import relad
from relad.conformance.candidate import Failure, Raised, Skip, Unfit
from relad.conformance.watching import ERRORS

_RELAD = Path(relad.__file__).parent
#: Folders and files that call a method, or are called by one, and are not where its fault lies.
_NOT_ITS_OWN = (
    Path(torch.__file__).parent,
    _RELAD / "conformance",
    _RELAD / "training",
    _RELAD / "compute",
    _RELAD / "methods" / "method.py",
)
_STDLIB = Path(sysconfig.get_paths()["stdlib"])


def place_of(error: BaseException) -> str:
    """Where in the method an error arose, as `` (file.py:line)``; empty where it was not there."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        standard = file.is_relative_to(_STDLIB) and "site-packages" not in file.parts
        if not standard and not any(file.is_relative_to(place) for place in _NOT_ITS_OWN):
            return f" ({file.name}:{frame.lineno})"
    return ""


def said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()) + place_of(error)


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Tell an error in ``what`` as a failure of the check, with its remedy."""
    try:
        yield
    except (Failure, Skip, Unfit):
        raise
    except ERRORS as error:
        raise Raised(f"{what}: {said(error)}") from error
