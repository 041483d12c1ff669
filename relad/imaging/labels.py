"""Label images and the tables that name their labels.

A table is a tab-separated file with the columns ``index`` and ``name``, as BIDS derivatives have it
beside a ``_dseg.nii.gz``, or a colour table of FreeSurfer (``FreeSurferColorLUT.txt``: lines of
index, name and colour).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from relad.errors import DataError
from relad.fileio import read_table
from relad.imaging.nifti import load_nifti

#: So many names are listed where one is not found.
_LISTED = 12
#: Whole numbers below this one are told apart in float32, as which images are read.
_EXACT = 1 << 24
_COLOUR = re.compile(r"\s*(\d+)\s+(\S+)(\s+\d+){3,4}\s*")


def read_labels(
    file: Path, *, allow_constant: bool = False, standard: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (x, y, z) int32 of an image (NIfTI, or ``.mgz`` of FreeSurfer), and its affine (4, 4).

    ``standard``: it is one of a template, see :func:`relad.imaging.nifti.load_nifti`.

    Raises
    ------
    DataError
        Where it cannot be read or its values are not whole numbers from 0; where they are all one
        and that is not allowed.
    """
    image = load_nifti(file, ndim=3, allow_constant=allow_constant, standard=standard)
    values = np.asarray(image.dataobj)
    if values.max() >= _EXACT:
        raise DataError(
            f"holds a label of {values.max():.0f}", file=file,
            hint=f"number its labels anew, from 1 to less than {_EXACT}",
        )  # fmt: skip
    labels = np.rint(values).astype(np.int32)
    if np.abs(labels - values).max() > 1e-3 or labels.min() < 0:
        raise DataError("is no label image: its values are not whole numbers from 0", file=file)
    return labels, image.affine


def read_names(table: Path) -> dict[str, int]:
    """Name -> index of every row of a table.

    Raises
    ------
    DataError
        Where it is no such table, or gives a label no name or one name two indices.
    """
    rows = _rows(table)
    known: dict[str, int] = {}
    for index, name in rows:
        if name is None:
            raise DataError(f"the label {index} has no name", file=table, hint="give it one")
        try:
            number = int(float(index or "nan"))
        except ValueError as error:
            raise DataError(f"an index is not a number ({error})", file=table) from None
        if known.setdefault(name, number) != number:
            raise DataError(f"{name} has two indices, {known[name]} and {number}", file=table)
    return known


def _rows(table: Path) -> list[tuple[str | None, str | None]]:
    """Index and name of every row, as text."""
    if table.is_file() and table.suffix == ".txt":
        found = map(_COLOUR.fullmatch, table.read_text(errors="replace").splitlines())
        if rows := [(match[1], match[2]) for match in found if match]:
            return rows
        raise DataError("has no line of index, name and colour", file=table)
    cells = read_table(table)
    if not cells or not {"index", "name"} <= set(cells[0]):
        raise DataError(
            "lacks the columns index and name", file=table, hint="tab-separated, one row a label"
        )
    return [(row["index"], row["name"]) for row in cells]


def indices(known: Mapping[str, int], names: Iterable[str], *, file: Path) -> dict[str, int]:
    """Index of each of some names; ``file`` is what a message names.

    Raises
    ------
    DataError
        Naming what is missing, and some of the names there are.
    """
    names = list(names)
    if missing := [name for name in names if name not in known]:
        raise DataError(
            f"has no region {', '.join(map(repr, missing))}",
            file=file,
            hint=f"it has {', '.join(list(known)[:_LISTED])}{' …' if len(known) > _LISTED else ''}",
        )
    return {name: known[name] for name in names}
