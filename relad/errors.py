"""The errors a user is meant to read."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path


class ReladError(Exception):
    """Bad input or configuration, told in one line: which file, what is wrong, what to do.

    The command line prints the message without a traceback and exits with status 2.
    """

    def __init__(self, what: str, *, file: str | Path | None = None, hint: str | None = None):
        self.file = None if file is None else str(file)
        self.what = what
        self.hint = hint
        parts = [f"{self.file}: {what}" if self.file else what]
        if hint:
            parts.append(hint)
        super().__init__(" -- ".join(parts))


class DataError(ReladError):
    """A scan or table that cannot be used; the subject is excluded, the cohort goes on."""


class MachineError(ReladError):
    """A disk, a limit or a program of this machine failed, and no scan: the run stops.

    It excludes nobody, and what was finished before is kept for the next run.
    """


#: Errors of the operating system that tell of the machine, whichever file they came up with; an
#: unreadable file itself gives others (ENOENT, EACCES, EISDIR).
_OF_MACHINE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),  # disks and quotas
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),  # limits
        *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOTCONN, errno.ETIMEDOUT),  # devices
    }
)
#: How libraries written in Rust and C++ tell such an error in words.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def machine_failure(error: BaseException) -> str | None:
    """What of the machine failed, in words, where an exception or what it came of tells so."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MachineError):
            return seen.what
        if isinstance(seen, MemoryError):
            return f"not enough memory ({' '.join(str(seen).split()) or 'no more is given'})"
        number = seen.errno if isinstance(seen, OSError) else None
        if number is None and (told := _OS_ERROR.search(str(seen))):
            number = int(told[1])
        if number in _OF_MACHINE:
            return os.strerror(number)
        seen = seen.__cause__ or seen.__context__
    return None


def refuse_machine_failure(error: BaseException, file: str | Path | None = None) -> None:
    """Raise :class:`MachineError` where an exception is the machine's.

    To be called where others are taken for a damaged file.
    """
    if what := machine_failure(error):
        raise MachineError(what, file=file, hint="mend that and run the same again") from error
