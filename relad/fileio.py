"""Reading with checks, writing whole or not at all.

Every file relad writes first appears under a temporary name in the same folder and is then
renamed, so that a killed job never leaves half a file under its final name. What it leaves under
temporary names is removed by whoever writes the same next, which is one process at a time.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from relad.errors import DataError, MachineError, ReladError, machine_failure
from relad.locks import PART, sole_writer

#: Bytes that a disk must have left beside a file for it not to be called full.
_MARGIN = 1 << 16


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it to ``path`` on success.

    The temporary name keeps the suffixes (``.nii.gz``), since libraries choose the format by them.

    Raises
    ------
    MachineError
        Where it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f"{PART}{os.getpid()}-{path.name}") if path.name else path
    if path.is_dir():
        raise MachineError("is a folder, and a file is to be written", file=path)
    # Who writes a whole folder is alone in it already.
    alone = any(part.startswith(PART) for part in path.parts)
    try:
        with nullcontext() if alone else sole_writer(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    except ReladError:
        raise
    except Exception as error:
        if what := _unwritable(error, temporary):
            raise MachineError(f"cannot be written ({what})", file=path) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritable(error: Exception, temporary: Path) -> str | None:
    """Why a file could not be written, where that is why ``error`` came up."""
    if what := machine_failure(error):
        return what
    if isinstance(error, OSError):
        return error.strerror or str(error)
    # Libraries of other languages say of a full disk only that writing failed.
    return no_room(temporary.parent, _size(temporary) + _MARGIN)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def no_room(folder: Path, size: int) -> str | None:
    """Why a file of ``size`` bytes could not be written into a folder; None where it could."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        return error.strerror or str(error)
    return None


@contextmanager
def scratch_folder(prefix: str = "relad-") -> Iterator[Path]:
    """Yield a temporary folder below ``TMPDIR``, which is removed.

    Raises
    ------
    MachineError
        Where none can be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise MachineError(
            f"no temporary folder can be made ({error.strerror})",
            file=error.filename,
            hint="name a place with room by the environment variable TMPDIR",
        ) from None
    with folder as name:
        yield Path(name)


@contextmanager
def whole_folder(path: str | Path, *, mark: str, key: str | None = None) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it takes the place of ``path``.

    Parameters
    ----------
    path
        Folder to write.
    mark
        A file that every folder of this kind holds: only such a folder, or an empty one, is
        replaced.
    key
        Where given, the temporary folder outlives a run that is killed or that the machine fails,
        and is yielded as it was left to the next run with this key (hexadecimal). What runs with
        other keys left is removed.

    Raises
    ------
    ReladError
        Where ``path`` is something else, which would be lost.
    MachineError
        Where it cannot be written, or vanished while it was.
    """
    path = Path(path).resolve()
    ours = not path.exists() or (path / mark).is_file()
    if not ours and not (path.is_dir() and not any(path.iterdir())):
        raise ReladError(
            "exists and is not a result of this step",
            file=path,
            hint="name another folder, or remove it yourself",
        )
    name = str(os.getpid()) if key is None else f"key-{key[:16]}"
    temporary = path.with_name(f"{PART}{name}-{path.name}")
    with sole_writer(path, keep=temporary if key else None):
        try:
            if key is None:  # of this very process, or where nothing may be swept
                shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(exist_ok=key is not None)
            made = os.open(temporary, os.O_RDONLY)
        except OSError as error:
            raise MachineError(f"cannot be written ({error.strerror})", file=path) from None
        yield from _filled(temporary, made, path, keep=key is not None)


def _filled(temporary: Path, made: int, path: Path, *, keep: bool) -> Iterator[Path]:
    """Yield a folder to fill and move it to its place, or remove it; ``keep`` for the next run."""
    try:
        yield temporary
        _require_same_folder(temporary, made, path)
        _put(temporary, path)
    except (KeyboardInterrupt, MachineError, OSError, MemoryError) as error:
        if not keep:
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and (what := machine_failure(error)):
            raise MachineError(what, file=error.filename or path) from error
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(made)


def _require_same_folder(folder: Path, made: int, path: Path) -> None:
    """Refuse a folder that was taken away meanwhile.

    One of its name may have been made anew, but what was in it before is gone. ``made`` is the
    first one, held open lest its number be given to another.
    """
    if not (folder.exists() and os.path.samestat(folder.stat(), os.fstat(made))):
        raise MachineError(
            "vanished while it was written", file=path, hint="see to its disk and run it again"
        )


def _put(folder: Path, path: Path) -> None:
    """Move a finished folder to its place; what lies there is lost only when that is done."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.replace(old)
    try:
        folder.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors mark UTF-8
    except FileNotFoundError:
        raise ReladError("no such file", file=path) from None
    except (ValueError, RecursionError) as error:  # of the encoding, and of JSON
        raise DataError(f"not valid JSON ({error})", file=path) from None


def read_object(path: str | Path, needs: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON object that has some keys.

    Raises
    ------
    ReladError
        Where it is something else or lacks one of them.
    """
    told = read_json(path)
    if not isinstance(told, dict):
        raise DataError("not a JSON object", file=path)
    if lacking := [key for key in needs if key not in told]:
        raise DataError(f"lacks {', '.join(lacking)}", file=path)
    return told


@contextmanager
def content_of(path: str | Path, what: str, *, hint: str) -> Iterator[None]:
    """Do with a file's content what only fails where it is not ``what`` it must be.

    Raises
    ------
    DataError
        In place of the error of a missing key, a value of another type, and the like, and of one
        that names no file.
    """
    try:
        yield
    except ReladError as error:
        if error.file is not None:
            raise
        raise DataError(f"is no {what} ({error.what})", file=path, hint=hint) from None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"is no {what} ({said})", file=path, hint=hint) from None


def write_table(
    path: str | Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Write rows as ``.tsv`` or ``.csv`` (by suffix), ``n/a`` for None in TSV as BIDS has it.

    One row is in memory at a time.
    """
    path = Path(path)
    tab = path.suffix == ".tsv"
    missing = "n/a" if tab else ""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, delimiter="\t" if tab else ",", lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            unknown = set(row) - set(columns)
            if unknown:
                raise ValueError(
                    f"columns {sorted(unknown)} are not in the table's header {columns}"
                )
            writer.writerow([missing if row.get(c) is None else row[c] for c in columns])


def read_table(path: str | Path, needs: Iterable[str] = ()) -> list[dict[str, str | None]]:
    """Read a ``.tsv`` or ``.csv`` as a list of rows; ``n/a`` and empty cells become None.

    Raises
    ------
    ReladError
        Where there is none, or it is something else.
    DataError
        Where it is damaged, a row is longer than the header, a column stands twice or one of
        ``needs`` is missing.
    """
    path, read = Path(path), 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            names = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            if twice := {name for name in names if name and names.count(name) > 1}:
                raise DataError(
                    f"has more than one column {', '.join(sorted(twice))}", file=path,
                    hint="leave one of each",
                )  # fmt: skip
            rows = []
            read = reader.line_num
            for row in reader:
                if any(row.pop(None, ())):
                    raise DataError(
                        f"line {reader.line_num} has more cells than the header", file=path
                    )
                # Two cells that begin so swallow the rows between them; BIDS has no such cell.
                if path.suffix == ".tsv" and any("\n" in (v or "") for v in row.values()):
                    raise csv.Error(f"a cell goes on to line {reader.line_num}")
                rows.append({k: (None if v in (None, "", "n/a") else v) for k, v in row.items()})
                read = reader.line_num
    except FileNotFoundError:
        raise ReladError("no such table", file=path) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"not a readable table ({_no_utf8(path) or error})",
            file=path,
            hint="save it in the encoding UTF-8",
        ) from None
    except csv.Error as error:
        raise DataError(
            f"not a readable table: line {read + 1} holds a quotation mark that "
            f"is not closed ({error})",
            file=path,
            hint="close or remove it",
        ) from None
    if lacking := [column for column in needs if column not in (reader.fieldnames or ())]:
        raise DataError(f"lacks the columns {', '.join(lacking)}", file=path)
    return rows


def _no_utf8(path: Path) -> str | None:
    """The first line of a text that is no UTF-8, in words."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            return f"line {number} is not UTF-8: byte 0x{line[error.start]:02x}"
    return None


def sha256_of(file: Path) -> str:
    """Hash of a file's bytes, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def beside(image: Path, suffix: str) -> Path:
    """File of an image's name with another suffix, such as its sidecar's ``.json``."""
    return image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + suffix)


def is_number(text: str | None) -> bool:
    """Whether a table's cell holds a number."""
    try:
        float(text or "")
    except ValueError:
        return False
    return True
