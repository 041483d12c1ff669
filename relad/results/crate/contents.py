"""Which files of a study go into its crate, and which stay: images of people, weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relad.errors import ReladError
from relad.results import origin as origins
from relad.results.hashed import mentioned
from relad.results.origin import Origin
from relad.results.paper import writing
from relad.results.runs import Run, kinds_told, runs_behind
from relad.status import Kind
from relad.study import catalogue, paths
from relad.study.catalogue import CEILING

#: What lies beside the record of a run and goes along.
_BESIDE = {"train": (paths.TRAINING_LOG,), "evaluate": ()}
#: Where everything that is part of the workflow lies.
WORKFLOW = Path("workflow")


@dataclass
class Contents:
    """A study's files.

    Attributes
    ----------
    results
        Folder of the study.
    origins
        Of its tables and figures.
    runs
        Behind these.
    files
        Path in the crate -> file; those of results keep their place below ``results``.
    left
        What is left out -> why.
    """

    results: Path
    origins: list[Origin]
    runs: list[Run]
    files: dict[Path, Path] = field(default_factory=dict)
    left: dict[Path, str] = field(default_factory=dict)

    def place(self, file: Path) -> Path | None:
        """Where a file of the results lies in the crate; None where it is not among these."""
        try:
            return file.relative_to(self.results)
        except ValueError:
            return None


def contents(results: Path, *, images: bool) -> Contents:
    """Choose what of a study goes into its crate.

    Parameters
    ----------
    results
        Folder ``results`` of a finished study.
    images
        Whether what shows images of people goes along; of simulated people it always does.

    Raises
    ------
    ReladError
        Where there is no table or figure, one is no longer what was made of what is there, or the
        record of a run behind one is missing.
    """
    if not results.is_dir():
        raise ReladError("no such folder", file=results)
    found = origins.read_unchanged(_products(results))
    if not found:
        raise ReladError(
            "holds no table or figure", file=results, hint="give the folder of a finished study"
        )
    study = Contents(results, found, runs_behind(found))
    told = {form for origin in found for form in origin.forms}
    for file in _made(results):
        if file not in told:
            study.left[file] = "no record beside it says what relad made it of"
    # Of every single run: a simulated model makes what is shown of real people simulated, not them.
    faces = images or all(kind is Kind.SIMULATED for _, kind in kinds_told(study.runs))
    why = "shows images of people (--images takes it along)"
    for origin in found:
        kind, forms = origin.result.kind, origin.forms
        # Of packed images a figure shows some; a table holds numbers, whatever it was made of.
        if kind == catalogue.FIGURE and "packed" in origin.result.needs and not faces:
            study.left |= dict.fromkeys(forms[:-1], why)
            forms = forms[-1:]
        _add(study, [*forms, origin.file])
    for run in study.runs:
        beside = [run.file.with_name(name) for name in _BESIDE.get(run.step, ())]
        of_table = [run.file.with_suffix(".csv")] if run.step in ("evaluate", CEILING) else []
        _add(study, [run.file, *beside, *of_table])
        if run.step == "train":
            study.left[run.file.with_name(paths.WEIGHTS)] = "weights: see `relad export`"
    report = results / paths.report().relative_to(paths.RESULTS)
    if report.is_file() and not faces:
        study.left[report] = why
    elif report.is_file():
        _require_current(report, "report")
        _add(study, [report])
    paper = results / paths.paper().relative_to(paths.RESULTS)
    written = sorted([*paper.glob("*.tex"), *paper.glob("*.bib")])
    if (numbers := paper / writing.NUMBERS).is_file():
        _require_current(numbers, "paper")
    ours = [file for file in written if file.name in writing.NAMES]
    _add(study, ours)
    own = (file for file in written if file not in ours)
    study.left |= dict.fromkeys(own, "is not of the skeleton that relad wrote")
    if (settings := results / "settings").is_dir():  # a run's record has its own
        study.left[settings] = "settings of jobs name people and who looked at them"
    for file in _workflow():
        study.files[WORKFLOW / file.relative_to(paths.REPOSITORY / WORKFLOW)] = file
    return study


def _require_current(file: Path, step: str) -> None:
    """Refuse a page or paper of tables and figures that are others now, or that are not told."""
    told = mentioned(file)
    if not told:
        what = "does not say what it was made of"
        raise ReladError(what, file=file, hint=f"make it again: relad {step}")
    for made in told:
        if error := made.changed(f"make it again: relad {step}"):
            what = f"was made of {made.path.name}, which {error.what}"
            raise ReladError(what, file=file, hint=error.hint)


def _products(results: Path) -> Iterator[Path]:
    """Tables and figures of a folder, in the catalogue's order, those of groups after them."""
    for kind, here in _folders(results).items():
        records = {f.name.partition(".")[0]: f for f in here.glob(f"*.{catalogue.RECORDS[kind]}")}
        known = [r.name for r in catalogue.RESULTS if r.kind == kind and r.name in records]
        for name in dict.fromkeys([*known, *sorted(records)]):
            yield here / f"{name}.{catalogue.SUFFIXES[kind][0]}"


def _made(results: Path) -> Iterator[Path]:
    """Whatever has the form of a table or figure, in the folders of these."""
    for kind, here in _folders(results).items():
        for suffix in catalogue.SUFFIXES[kind]:
            yield from sorted(here.glob(f"*.{suffix}"))


def _folders(results: Path) -> dict[str, Path]:
    """Kind of result -> where results of this kind lie."""
    folder_of = {
        catalogue.TABLE: paths.table("x").parent,
        catalogue.FIGURE: paths.figure("x").parent,
    }
    return {kind: results / folder.relative_to(paths.RESULTS) for kind, folder in folder_of.items()}


def _add(study: Contents, files: Sequence[Path]) -> None:
    for file in files:
        place = study.place(file)
        if place is None:
            study.left[file] = "lies outside of the study's results"
        elif file.is_file():
            study.files[place] = file
        else:
            raise ReladError("no such file", file=file, hint="run the workflow again")


def _workflow() -> list[Path]:
    folder = paths.REPOSITORY / WORKFLOW
    return [folder / "Snakefile", *sorted((folder / "rules").glob("*.smk"))]
