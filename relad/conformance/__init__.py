"""Whether a method keeps the protocol of :mod:`relad.methods.method`, as a list of named checks.

Each check of :data:`CHECKS` is a function; its docstring says what holds, and below that what would
be wrong and what to do. They train the method for a few updates on six small made-up people, in
both data scalings, through the very loop that trains it in a study. ``relad check-method`` prints
what they find; a package with methods of its own may run them in its tests:

    failed = [o for o in examine("mymethod", settings) if o.status is Status.FAILED]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import getdoc

from relad.conformance.candidate import Candidate, Failure, Raised, Skip, Unfit
from relad.conformance.checks import CHECKS, resumes
from relad.conformance.errors import said
from relad.conformance.watching import ERRORS, sound, undisturbed
from relad.fileio import scratch_folder
from relad.study.settings import TrainSettings

__all__ = ["CHECKS", "Outcome", "Status", "examine"]

Check = Callable[[Candidate], None]
#: Where a method is not restored from its state, the errors of what was restored tell nothing more.
RESTORES = resumes.__name__


class Status(StrEnum):
    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """What one check found, and ``told``, one line: what holds; what fails and what to do; why not.

    Attributes
    ----------
    check
        Name of the function.
    """

    check: str
    status: Status
    told: str

    def __str__(self) -> str:
        return f"{self.status:<7}  {self.check}: {self.told}"


def words_of(check: Check) -> tuple[str, str]:
    """What holds where a check passes, and what is wrong and to be done where it does not."""
    holds, _, remedy = (getdoc(check) or "").partition("\n\n")
    return holds.rstrip("."), " ".join(remedy.split())


def examine(
    name: str, settings: TrainSettings, checks: Sequence[Check] = CHECKS
) -> Iterator[Outcome]:
    """Put one method through the checks, and yield each outcome as it is known.

    Parameters
    ----------
    name
        Key of ``settings.methods``.
    settings
        A study's; of its section ``training`` the arithmetic, the limit of gradients and the like
        are kept, while length, batches and data are those of the checks.
    """
    with scratch_folder("relad-check-") as folder:
        candidate = Candidate(name, settings, folder)
        for check in checks:
            holds, remedy = words_of(check)
            try:
                with undisturbed(), sound(settings.training.precision):
                    check(candidate)
                yield Outcome(check.__name__, Status.OK, holds)
            except Skip as reason:
                yield Outcome(check.__name__, Status.SKIPPED, str(reason))
            except Unfit as cause:
                yield Outcome(check.__name__, Status.SKIPPED, f"not before {cause} is mended")
            except ERRORS as error:  # whatever somebody else's code raises
                known = isinstance(error, Failure)
                if RESTORES in candidate.failed and (not known or isinstance(error, Raised)):
                    told = f"not before {RESTORES} is mended"
                    yield Outcome(check.__name__, Status.SKIPPED, told)
                    continue
                candidate.failed.add(check.__name__)
                told = f"{error} -- {remedy}" if known else said(error)
                yield Outcome(check.__name__, Status.FAILED, told)
