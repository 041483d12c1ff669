"""One cell of a table: found, made again, and the metric rows that it is made of."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pandas as pd
from scipy import stats

from relad.errors import ReladError
from relad.fileio import is_number, read_json, read_table
from relad.results.ceiling import WAY, WAY_METRIC, floor_of
from relad.results.downstream import CHOSEN, MRI_ONLY, REAL
from relad.results.hashed import Made
from relad.results.intervals import ENDS, ends
from relad.results.metrics import METRICS
from relad.results.origin import Origin
from relad.results.regional import GROUPS, PAIR, is_positive
from relad.results.scores import COLUMNS, number_of
from relad.results.study import Study, function_of
from relad.results.tables.rendering import Table
from relad.results.tables.samplers import sampling_of
from relad.study import catalogue
from relad.study.catalogue import TABLE
from relad.study.sampling import whole

#: Units of the last digit that is written: what differs by more is another number.
_TOLERANCE = 1.5
#: Columns of a table whose value a metric row must have too. ``reference`` names another method.
_KEYS = ("cohort", "tracer", "region", "metric")
_METHODS = ("method", "reference")
#: Columns of tables that name what a row is of.
NAMING = ("family", "cohort", "tracer", "method", "reference", "sampler", "region", "group",
          "metric", "steps", "temperature", "samples", "n", "data")  # fmt: skip
#: Columns whose number is of all methods of a comparison, not of the row's own alone.
_OF_ALL = ("rank", "first", "comparisons", "p_holm", "p_trainings", "p_alike", "p_mri_only",
           "detectable", "verdict", "sentence")  # fmt: skip
#: What tells on whose scan a method was tested.
_TESTED = ["cohort", "subject", "tracer"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table as its CSV has it.

    Attributes
    ----------
    origin
        Of the table.
    row
        All cells of its row, by column; None where nothing stands.
    number
        Of the row, from 1.
    column
        Its column.
    """

    origin: Origin
    row: dict[str, str | None]
    number: int
    column: str

    @property
    def text(self) -> str | None:
        return self.row[self.column]

    @property
    def metric(self) -> str | None:
        """The metric it is of; None where its column and its row name none."""
        if self.column in WAY:
            return WAY_METRIC
        found = [name for end in ENDS if (name := self.column.removesuffix(end)) in METRICS]
        return found[0] if found else self.row.get("metric")

    @property
    def of_all(self) -> bool:
        """Whether it is of all methods that are compared, or of floor and ceiling too."""
        return self.column in WAY or any(self.column == f"{c}{e}" for c in _OF_ALL for e in ENDS)

    def methods(self, given: Collection[str]) -> set[str]:
        """Methods that its number is of, of those (and the ceiling) that rows are given of."""
        # Real PET and a classifier from MRI are no methods: they have no rows of their own.
        known = self.origin.settings.methods
        named = {self.row[key] for key in _METHODS if self.row.get(key)}
        named &= {*known, catalogue.CEILING}
        if not self.of_all:
            return named
        compared = [
            [method for method in of if method in given]
            for of in self.origin.result.comparisons(known)
            if named - {catalogue.CEILING} <= {*of}
        ]
        if self.column in WAY:
            floors = {floor for of in compared if (floor := floor_of(self.origin, of))}
            return {*named, *floors, catalogue.CEILING}
        return named.union(*compared)


def choose(origin: Origin, row: str, column: str) -> Cell:
    """Find a cell.

    Parameters
    ----------
    origin
        Of a table.
    row
        ``cohort=…,method=…`` as the CSV has them, or the row's number from 1.
    column
        Name of the CSV's column.

    Raises
    ------
    ReladError
        Where there is no such cell, or more than one; then they are listed.
    """
    file = origin.product
    if origin.result.kind != TABLE:
        raise ReladError("is a figure; only a table has cells", file=file)
    rows = read_table(file)
    columns = list(rows[0]) if rows else []
    if column not in columns:
        raise ReladError(
            f"has no column {column!r}", file=file, hint=f"its columns: {', '.join(columns)}"
        )
    if row.isdecimal():
        if not 1 <= int(row) <= len(rows):
            raise ReladError(f"has no row {row}", file=file, hint=f"its rows: 1 to {len(rows)}")
        return Cell(origin, rows[int(row) - 1], int(row), column)
    wanted = {}
    for word in row.split(","):
        key, equals, value = word.strip().partition("=")
        if not equals or key not in columns:
            raise ReladError(
                f"--row {word.strip()!r} is no COLUMN=VALUE of this table, nor a row's number",
                file=file,
                hint=f"its columns: {', '.join(columns)}",
            )
        wanted[key] = value
    found = [n for n, r in enumerate(rows) if all((r[k] or "") == v for k, v in wanted.items())]
    if len(found) != 1:
        raise ReladError(
            f"{len(found) or 'no'} rows have {row}",
            file=file,
            hint=_candidates(rows, found, list(wanted)),
        )
    return Cell(origin, rows[found[0]], found[0] + 1, column)


def _candidates(
    rows: Sequence[dict[str, str | None]], found: Sequence[int], asked: Sequence[str]
) -> str:
    """Rows to choose from, by what tells them apart: words first, where these do."""
    if not found:
        values = [
            f"{k}: {', '.join(dict.fromkeys(r[k] or '(empty)' for r in rows))}" for k in asked
        ]
        return f"there are {'; '.join(values)}"
    among = [rows[n] for n in found]
    differ = [k for k in among[0] if len({row[k] for row in among}) > 1]
    words = [k for k in differ if not is_number(among[0][k])] or differ[:1]
    named = (", ".join(f"{key}={rows[n][key] or ''}" for key in words) for n in found)
    told = (f"{n + 1} ({name})" for n, name in zip(found, named, strict=True))
    return f"choose one: {'; '.join(told)}"


# --- made again -----------------------------------------------------------------------------------


def made_again(cell: Cell) -> dict[str, str | None]:
    """The cell's row as the table's own function makes it of the recorded files today.

    Returns
    -------
    All its cells, as :attr:`Cell.row` has them.

    Raises
    ------
    ReladError
        Where one of these files is no longer what it was, or this version makes other tables.
    """
    origin = cell.origin
    origin.require_unchanged()
    known = catalogue.of_study(TABLE, origin.settings.methods)
    if known.get(origin.result.name) != origin.result:
        raise ReladError(
            f"this version of relad makes {origin.result.name} otherwise, or not at all",
            file=origin.file,
            hint="make the table again, or explain it with the version that made it",
        )
    folders = {
        part: [made.path.parent for made in origin.files[part]]
        for part in ("models", "synthesized", "packed")
    }
    metrics = [made.path for made in origin.files["metrics"]]
    study = Study.read(origin.settings, metrics, **folders)
    table: Table | None = function_of(origin.result)(study, origin.result)
    rows = [] if table is None else table.written()
    if cell.number > len(rows) or cell.column not in rows[cell.number - 1]:
        raise ReladError(
            f"made again it has no row {cell.number} with {cell.column}",
            file=origin.product,
            hint="somebody changed it; make the table again",
        )
    again = rows[cell.number - 1]
    # As a table is read, see :func:`relad.fileio.read_table`.
    return {k: None if v in (None, "", "n/a") else str(v) for k, v in again.items()}


def changed(cell: Cell, again: Mapping[str, str | None]) -> list[str]:
    """Columns of the asked cell, and of those that name the row, which made again are others.

    Those too: a row that was renamed has the right number of another method.
    """
    columns = dict.fromkeys([cell.column, *(column for column in NAMING if column in cell.row)])
    return [column for column in columns if not same(cell.row[column], again.get(column))]


def same(first: str | None, second: str | None) -> bool:
    """Whether two cells say the same, to the digits that the second is written with."""
    if first is None or second is None or not (is_number(first) and is_number(second)):
        return first == second
    one, two = float(first), float(second)
    if one == two or not math.isfinite(two):
        return one == two
    last = Decimal(second).as_tuple().exponent
    return last < 0 and math.isclose(one, two, rel_tol=0, abs_tol=_TOLERANCE * 10.0**last)


# --- metric rows ----------------------------------------------------------------------------------


def metric_rows(cell: Cell) -> pd.DataFrame:
    """Metric rows behind a cell, by what its own row says: cohort, tracer, method, metric, ...

    Of a number that is of several methods (of the way from floor to ceiling, of a family of tests,
    of a rank) those of all of them; of a cut that was chosen elsewhere those of that cohort too.

    Returns
    -------
    The columns of `relad evaluate` as text, beside them ``number`` (float64), ``file`` and
    ``line`` (from 1, the header's). Empty for a table that is not made of such rows.
    """
    origin, row = cell.origin, cell.row
    if "metrics" not in origin.result.needs:
        return _frame([])
    wanted = {key: {row[key]} for key in _KEYS if row.get(key)}
    wanted.setdefault("region", {origin.result.region})
    wanted["metric"] = {cell.metric} if cell.metric else set(origin.result.metrics)
    group = row.get("group")
    if group and cell.metric in (None, *PAIR):
        wanted["metric"] &= {*PAIR}
    elif group:  # only the SUVR is of the cut's region
        wanted["region"] = {origin.result.region}
    cohorts = origin.settings.cohorts
    role = origin.result.role
    wanted.setdefault("cohort", {c for c, e in cohorts.items() if role in (None, e.role)})
    tables = [
        pd.read_csv(made.path, dtype=str, keep_default_na=False, encoding="utf-8-sig").assign(
            file=made.path
        )
        for made in origin.files["metrics"]
    ]
    if methods := cell.methods({method for table in tables for method in table["method"]}):
        wanted["method"] = methods
    elif row.get("method") in (REAL, MRI_ONLY):  # rows tell who is positive, and no more
        wanted["metric"] = {PAIR[1]}
    if any(cell.column == f"{name}{end}" for name in CHOSEN for end in ENDS) and methods:
        wanted["cohort"] |= {c for c, e in cohorts.items() if e.role == "train"}
    # Each method has a sampling of its own.
    sampler = None if cell.of_all else sampling_of(row)
    if sampler:
        wanted["sampler"] = {sampler}
    # Of the ceiling, which is known of everybody, a table shows those that methods were tested on.
    by_methods = (table.loc[table["method"] != catalogue.CEILING, _TESTED] for table in tables)
    tested = {pair for of in by_methods for pair in of.itertuples(index=False, name=None)}
    # A table may name by a region or a metric what it makes of several: then these do not narrow.
    for lax in ((), ("metric",), ("metric", "region")):
        narrow = {key: values for key, values in wanted.items() if key not in lax}
        found = _frame([part for table in tables if len(part := _chosen(table, narrow))])
        if len(found):
            break
    pairs = found[_TESTED].itertuples(index=False, name=None)
    found = found.loc[[pair in tested for pair in pairs]]
    if group:
        found = found[found["subject"].isin(_people(cell, tables, wanted))]
    found = found.reset_index(drop=True)
    return found if origin.result.single_samples or sampler else _whole_images(found)


def fitted_on(cell: Cell) -> list[Made]:
    """Records of the packed cohort that the classifier of a cell's row was fitted on."""
    if cell.row.get("method") != MRI_ONLY:
        return []
    packed = cell.origin.files["packed"]
    return [made for made in packed if read_json(made.path)["role"] == "train"][:1]


def _people(
    cell: Cell, tables: Sequence[pd.DataFrame], wanted: Mapping[str, set[str]]
) -> Sequence[str]:
    """Subjects of a row's group: by their real SUVR they are on its side of the tracer's cut."""
    row = cell.row
    cut = cell.origin.settings.tracers[row["tracer"]].positivity
    truth = {**wanted, "region": {row["region"]}, "metric": {PAIR[1]}}
    real = _frame([_chosen(table, truth) for table in tables]).groupby("subject")["number"].mean()
    return list(real.index[is_positive(real, cut) == GROUPS[row["group"]]])


def _whole_images(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of one sample of a method whose image is the mean of several."""
    of_method = {m: whole(of["sampler"].unique()) for m, of in rows.groupby("method")}
    pairs = zip(rows["method"], rows["sampler"], strict=True)
    return rows.loc[[sampler in of_method[method] for method, sampler in pairs]]


def _chosen(table: pd.DataFrame, wanted: Mapping[str, set[str]]) -> pd.DataFrame:
    """Rows of a table of metrics that have one of the wanted values in each of some columns."""
    chosen = table
    for key, values in wanted.items():
        chosen = chosen[chosen[key].isin(values)]
    numbers = [number_of(text, file) for text, file in chosen[["value", "file"]].to_numpy()]
    lines = chosen.index + 2
    return chosen[[*COLUMNS, "file"]].assign(number=numbers, line=lines)


def _frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = [*COLUMNS, "number", "file", "line"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@dataclass(frozen=True)
class SubjectValue:
    """A subject's value of one method: the mean over its rows, and where these stand.

    ``missed`` is the mean of what its rows lose by missing their metric's right value, which is
    what methods are compared by; NaN where there is no right value.
    """

    subject: str
    method: str
    metric: str
    value: float
    missed: float
    places: dict[Path, list[int]]


def subject_values(rows: pd.DataFrame) -> list[SubjectValue]:
    """Values by subject of a cohort: seeds and folds' models averaged first, then tracers."""
    found = []
    keys = ["metric", "method", "cohort", "subject"]
    for (metric, method, _, subject), of in rows.groupby(keys, sort=False):
        value, missed = _over_tracers(of, of["number"]), math.nan
        if metric in METRICS and METRICS[metric].better.target is not None:
            missed = _over_tracers(of, METRICS[metric].better.loss(of["number"]))
        places = {Path(str(f)): sorted(lines) for f, lines in of.groupby("file")["line"]}
        found.append(SubjectValue(subject, method, metric, value, missed, places))
    return found


def _over_tracers(rows: pd.DataFrame, numbers: pd.Series) -> float:
    """Mean over tracers of their means: a tracer with more rows counts no more."""
    return float(numbers.groupby(rows["tracer"], sort=False).mean().mean())


def summary_of(values: Sequence[SubjectValue], level: float) -> dict[str, float]:
    """Mean of subjects' values and Student's t interval, by the ends of columns' names.

    Computed here anew, beside what the table's function does.
    """
    numbers = pd.Series([value.value for value in values], dtype=float)
    found = {"": numbers.mean()}
    if len(numbers) > 1 and numbers.abs().max() < math.inf:
        half = stats.t.ppf((1 + level) / 2, len(numbers) - 1) * numbers.sem()
        found |= ends("", (found[""] - half, found[""] + half))
    return found
