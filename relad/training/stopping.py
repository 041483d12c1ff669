"""Ending a training on request, so that it can be continued."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

#: Exit status of a training that was asked to stop and can be continued (EX_TEMPFAIL).
STOPPED = 75
#: SIGUSR1 is what SLURM sends ahead of a time limit (``--signal=B:USR1@120``).
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stop:
    """Remembers that a signal came, so that the loop can end between two updates."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        def ask(signum: int, frame: object) -> None:
            self.asked = True

        before = {s: signal.signal(s, ask) for s in SIGNALS}
        try:
            yield self
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)
