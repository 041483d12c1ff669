"""What a table or figure was made of, as the record beside it says.

``main.csv`` has ``main.table.json``, ``panels.png`` has ``panels.figure.json``. It names every file
with its hash, and the table or figure itself, by its path from the record's folder: a folder of
results that is moved as a whole still holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relad.errors import ReladError
from relad.fileio import content_of, read_object, write_json
from relad.results.hashed import Made, found, told
from relad.study import catalogue
from relad.study.catalogue import TABLE, Result
from relad.study.paths import CRATE, TRAINING_RECORD
from relad.study.provenance import describe
from relad.study.settings import ResultSettings, plain, typed

#: What is hashed of a folder of each kind; of metrics the file itself.
TOLD_BY = {
    "models": (TRAINING_RECORD,),
    "synthesized": ("synthesis.json",),
    "packed": ("dataset.json",),
}


#: Keys of a record.
_NEEDS = ("result", "shown", "files", "made", "provenance")


@dataclass(frozen=True)
class Origin:
    """What a table or figure was made of.

    Attributes
    ----------
    file
        The record.
    result
        The catalogue's entry by which it was made.
    settings
        Of the study, as it was made.
    files
        ``metrics``, ``models``, ``synthesized``, ``packed`` -> what it was given of these.
    made
        The table or figure in all its forms, as it was written.
    shown
        Of a table what stands in it, see :meth:`relad.results.tables.rendering.Table.shown`.
    provenance
        See :func:`relad.study.provenance.describe`.
    """

    file: Path
    result: Result
    settings: ResultSettings
    files: dict[str, list[Made]]
    made: list[Made]
    shown: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def forms(self) -> list[Path]:
        """The table or figure in all its forms, itself first, that with its caption last."""
        return _forms(self.result, self.file.parent)

    @property
    def product(self) -> Path:
        """The table or figure itself."""
        return self.forms[0]

    @property
    def crate(self) -> Path | None:
        """The crate that holds it; None where it lies in a study's own results."""
        folder = self.file.resolve().parent.parent
        return folder if (folder / CRATE).is_file() else None

    @property
    def caption(self) -> tuple[str, str]:
        """What must not be overlooked, or an empty string, and the caption."""
        note, _, text = catalogue.Caption(self.forms[-1]).read().rpartition("**\n\n")
        return note.removeprefix("**"), text

    def require_unchanged(self, *, itself: bool = False) -> None:
        """Refuse files that are no longer there, or no longer what they were.

        Parameters
        ----------
        itself
            Also where the table or figure, in one of its forms, is another than was made of them.

        Raises
        ------
        ReladError
            Naming one of them.
        """
        made = [of for part in self.files.values() for of in part]
        for each in [*(self.made if itself else ()), *made]:
            error = each.changed(f"make {self.result.name} again: relad {self.result.kind}s")
            if error is not None:
                raise error


def _forms(result: Result, folder: Path) -> list[Path]:
    return [folder / f"{result.name}.{suffix}" for suffix in catalogue.SUFFIXES[result.kind]]


def write(
    folder: Path,
    result: Result,
    settings: ResultSettings,
    given: Mapping[str, Sequence[Path]],
    shown: Mapping[str, Any],
    *packages: str,
) -> Path:
    """Write the record of a table or figure into its folder.

    Parameters
    ----------
    folder
        Of the table or figure, which lies there in all its forms.
    result, settings, shown
        See :class:`Origin`.
    given
        Files of metrics, and folders by the step that wrote them, see :data:`TOLD_BY`. What the
        result does not need is not recorded; models always, since they tell what can be compared.
    packages
        Distributions whose versions matter.
    """
    files = {
        part: told(
            (path / name for path in of for name in TOLD_BY[part]) if part in TOLD_BY else of,
            folder,
        )
        if part in (*result.needs, "models")
        else []
        for part, of in given.items()
    }
    file = folder / f"{result.name}.{catalogue.RECORDS[result.kind]}"
    write_json(
        file,
        {
            "result": plain(asdict(result)),
            "shown": dict(shown),
            "files": files,
            "made": told(_forms(result, folder), folder),
            "provenance": describe(f"{result.kind}s", plain(settings), *packages),
        },
    )
    return file


def read(product: str | Path) -> Origin:
    """Read the record of a table or figure.

    Parameters
    ----------
    product
        The table or figure, in any of its forms.

    Raises
    ------
    ReladError
        Where there is none beside it, or it is none of this version's.
    """
    product = Path(product)
    if not product.is_file():
        raise ReladError("no such file", file=product)
    kinds = [k for k, forms in catalogue.SUFFIXES.items() if product.suffix[1:] in forms]
    if not kinds:
        forms = ", ".join(f".{form}" for forms in catalogue.SUFFIXES.values() for form in forms)
        raise ReladError(f"is no table or figure ({forms})", file=product)
    file = product.with_name(f"{product.stem}.{catalogue.RECORDS[kinds[0]]}")
    if not file.is_file():
        raise ReladError(
            f"is no table or figure of relad's: {file.name}, which tells what it was made of, is "
            "not beside it",
            file=product,
            hint="make it by `relad tables` or `relad figures`",
        )
    entries = read_object(file, needs=_NEEDS)
    with content_of(file, "record of a table or figure", hint="make it again"):
        result = typed(Result, entries["result"])
        origin = Origin(
            file,
            result,
            typed(ResultSettings, entries["provenance"]["settings"]),
            {part: found(of, file.parent) for part, of in entries["files"].items()},
            found(entries["made"], file.parent),
            dict(entries["shown"]),
            dict(entries["provenance"]),
        )
        if [of.path.name for of in origin.made] != [form.name for form in origin.forms]:
            raise ValueError(f"made: not the forms of {result.name}")
        if result.kind == TABLE:
            _ = origin.shown["caption"], origin.shown["warning"], origin.shown["headers"]
            _ = origin.shown["bold"], origin.shown["summary"]
            read, shown = origin.shown["read"], sum(map(len, origin.shown["groups"]))
            if len(read) != shown or len({*read}) != shown or min(read, default=1) < 1:
                raise ValueError(f"read: {shown} rows are shown, of the CSV's rows {read}")
        return origin


def read_unchanged(products: Iterable[str | Path]) -> list[Origin]:
    """Read the records of tables and figures that are what was made of what is there.

    Raises
    ------
    ReladError
        As :func:`read` and :meth:`Origin.require_unchanged`, of one itself, too.
    """
    origins = [read(product) for product in products]
    for origin in origins:
        origin.require_unchanged(itself=True)
    return origins


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the tables and figures that a step is given to its arguments."""
    parser.add_argument(
        "results",
        metavar="RESULT",
        nargs="+",
        type=Path,
        help="tables (.csv) and figures (.png), in the order in which they are shown",
    )
