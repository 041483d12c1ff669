"""One process at a time writes an output, and what killed ones left of it is removed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relad.errors import MachineError

#: What every temporary name begins with.
PART = ".part-"
#: A writer waits so long (s) for another one: what a killed run left of itself ends by then.
PATIENCE_S = 60.0
#: Errors of file systems that know no locks, such as Lustre without its option flock.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EBADF, errno.EINVAL})


@contextmanager
def sole_writer(path: Path, *, keep: Path | None = None) -> Iterator[None]:
    """Be the only process that writes a file or folder, and remove what killed ones left of it.

    A folder's own files are cleared of such leftovers too. The system releases the lock of a
    process that is killed. Where the file system knows no locks, nothing is held and nothing
    removed.

    Parameters
    ----------
    path
        What is written.
    keep
        A leftover to go on with.

    Raises
    ------
    MachineError
        Where another process goes on writing it, or it cannot be written.
    """
    lock = path.with_name(f"{PART}lock-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, held = _hold(lock, path)
    except OSError as error:
        raise MachineError(f"cannot be written ({error.strerror})", file=path) from None
    try:
        if held:
            _sweep(path, keep)
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _hold(lock: Path, path: Path) -> tuple[int, bool]:
    """Open a lock's file; whether the file system holds it, which it does for one process."""
    until, told = time.monotonic() + PATIENCE_S, False
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed its file since it was opened, and another made one.
            if os.path.samestat(lock.stat(), os.fstat(descriptor)):
                with suppress(OSError):  # a full disk: what is written will tell
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode())
                return descriptor, True
        except BlockingIOError:
            other = os.pread(descriptor, 1000, 0).decode(errors="replace") or "of unknown number"
            if time.monotonic() > until:
                os.close(descriptor)
                raise MachineError(
                    f"is being written by another process ({other})",
                    file=path,
                    hint="wait until it is done, or end it, and run the same again",
                ) from None
            if not told:
                print(f"{path}: waits for process {other}, which writes it", file=sys.stderr)
                told = True
            time.sleep(0.1)
        except FileNotFoundError:  # removed, and by nobody made again
            pass
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor, False
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sweep(path: Path, keep: Path | None) -> None:
    """Remove what killed writers of ``path`` left, which nobody writes any more.

    A result that was moved aside for one that never took its place comes back.
    """
    kinds = rf"{re.escape(PART)}(\d+|key-[0-9a-f]{{16}})-"
    stale = _named(path.parent, rf"{kinds}{re.escape(path.name)}(\.old)?")
    stale += _named(path, f"{kinds}.+") if path.is_dir() else []
    for file in stale:
        if file.name.endswith(f"{path.name}.old") and not path.exists():
            file.replace(path)
        elif file != keep and file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
        elif file != keep:
            with suppress(OSError):  # somebody else's, who left it
                file.unlink()


def _named(folder: Path, pattern: str) -> list[Path]:
    """What of a folder, which may hold thousands of others, has a temporary name of a pattern."""
    return [file for file in folder.glob(f"{PART}*") if re.fullmatch(pattern, file.name)]
