"""From a bundle to a model folder, or to a reason why not.

Nothing is left behind by a bundle that is refused. Checksums tell damage; that a bundle is of whom
it says, they do not: compare its SHA-256 with what its maker names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relad.bundle import archive, model
from relad.bundle.form import MANIFEST
from relad.errors import ReladError
from relad.fileio import scratch_folder, whole_folder


def open_model(path: str | Path, into: str | Path) -> Path:
    """Verify a bundle and unpack it to a model folder.

    Parameters
    ----------
    path
        Bundle of ``relad export``.
    into
        Folder to write, which :func:`relad.methods.synthesis.load_model` reads then. An older one
        that came from a bundle is replaced, anything else is refused.

    Returns
    -------
    ``into``.

    Raises
    ------
    ReladError
        Where the bundle is damaged, not of the one plain form, of another format, or of a method
        that there is not here; nothing is written then.
    """
    path, into = Path(path), Path(into)
    with archive.reading(path) as bundle:
        made = [folder for folder in into.parents if not folder.exists()]
        try:
            with whole_folder(into, mark=MANIFEST) as folder:
                _require_space(bundle, folder)
                bundle.unpack(folder)
                model.check(folder, path, bundle.manifest)
        except BaseException:
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            raise
    return into


@contextmanager
def model_folder(given: Path) -> Iterator[Path]:
    """A model's folder: the one given, or that of a bundle, unpacked while the context lasts."""
    if not given.is_file():
        yield given
        return
    with scratch_folder() as scratch:
        yield open_model(given, scratch / given.name)


def _require_space(bundle: archive.Bundle, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if bundle.size > free:
        raise ReladError(
            f"has {bundle.size} bytes, of which {folder.parent} has room for {free}",
            file=bundle.path,
            hint="make room, or set TMPDIR to a folder with more",
        )
