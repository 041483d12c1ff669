"""Whether the embedded study can run on a machine: one function per question.

Each yields findings; a lack stops the study, a note does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relad.doctor import packages, programs, room
from relad.doctor.finding import Finding
from relad.doctor.machine import Machine

CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    packages.python,
    packages.repository,
    packages.packages,
    programs.converter,
    programs.brain_extractor,
    programs.cuda,
    programs.workflow,
    programs.slurm,
    room.results,
    room.temporary,
    room.memory,
    room.threads,
)


def examine(machine: Machine) -> Iterator[Finding]:
    """Ask everything, one question after the other."""
    for check in CHECKS:
        yield from check(machine)
