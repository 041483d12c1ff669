"""The table of regions: how the SUVR of synthetic PET agrees with that of real PET over people."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from relad.results.agreement import MIN_CORRELATED, agreement
from relad.results.intervals import ends, with_ends
from relad.results.regional import (
    LEFT_OUT,
    ONE_EACH,
    alike,
    averaged,
    known_regions,
    lacking,
    left_out,
    regional_values,
    shown_regions,
)
from relad.results.statistics import FEW_SUBJECTS, mean_interval
from relad.results.study import Study
from relad.results.tables.rendering import NOT_AVAILABLE, Cell, Table, with_interval
from relad.status import Kind, note_of
from relad.study.catalogue import Result
from relad.study.regions import COMPOSITES

COLUMNS = (
    *("cohort", "tracer", "region", "method", "sampler", "n", "suvr_true", "suvr"),
    *(*with_ends("bias"), "bias_percent", "ccc", "icc", *ends("loa", None)),
    *(*with_ends("r"), "note", "data"),
)
_HEADERS = (
    *("Cohort", "Tracer", "Region", "Method", "n", "SUVR, real", "SUVR, synthetic", "Bias"),
    *("Bias (%)", "CCC", "ICC(A,1)", "Limits of agreement", "r over people"),
)
#: Why there is no correlation, in `note` and in the cell.
NO_PERSON = "none: one image for everybody"
_FEW = f"none: n below {MIN_CORRELATED - 1}"
_CONSTANT = "none: no spread"


def region_rows(study: Study, result: Result) -> pd.DataFrame:
    """One row per cohort, tracer, region and method, with the columns :data:`COLUMNS`.

    Raises
    ------
    ReladError
        As :func:`relad.results.regional.regional_values`.
    """
    level, same = study.settings.evaluation.interval, alike(study)
    rows = []
    for methods in study.comparisons(result):
        found = regional_values(study, result, methods)
        if found.empty:
            continue
        absent = lacking(found)
        found["region"] = pd.Categorical(found["region"], known_regions(study))
        by = ["cohort", "tracer", "region", "method", "sampler"]
        for (cohort, tracer, region, method, sampler), of in found.groupby(by, observed=True):
            told = agreement(of["suvr"].to_numpy(), of["suvr_true"].to_numpy(), level=level)
            r, interval, notes = told.r, told.r_interval, []
            alike_for_all = same[cohort, tracer, method]
            if alike_for_all:
                r, interval = None, None
                notes.append(f"r {NO_PERSON}")
            elif r is None:
                notes.append(f"r {_FEW if told.n < MIN_CORRELATED - 1 else _CONSTANT}")
            elif alike_for_all is None:
                interval = None
                notes.append(f"r without interval: {ONE_EACH}")
            if told.bias_percent is None:
                notes.append("no bias in %: a real SUVR is not above 0")
            if lack := absent.get((cohort, tracer, region)):
                notes.append(f"absent in {', '.join(lack)}")
            of_bias = mean_interval(of["suvr"] - of["suvr_true"], level=level)
            rows.append(
                {
                    **dict(zip(by, (cohort, tracer, region, method, sampler), strict=True)),
                    "n": told.n,
                    **{key: of[key].mean() for key in ("suvr_true", "suvr")},
                    **{"bias": told.bias, **ends("bias", of_bias)},
                    **{"bias_percent": told.bias_percent, "ccc": told.ccc, "icc": told.icc},
                    **ends("loa", told.limits),
                    "r": r,
                    **ends("r", interval),
                    "note": "; ".join(notes),
                    "data": of["data"].iloc[0],
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def regions_table(study: Study, result: Result) -> Table | None:
    """Build the table; None where no method has a SUVR.

    All regions stand in the CSV, each tracer's own in the forms for reading.
    """
    rows = region_rows(study, result)
    if rows.empty:
        return None
    shown = {tracer: shown_regions(study, tracer) for tracer in rows["tracer"].unique()}
    read = [
        region in shown[tracer] for tracer, region in zip(rows.tracer, rows.region, strict=True)
    ]
    groups = [of for _, of in rows[read].groupby(["cohort", "tracer", "region"], sort=False)]
    return Table(
        name=result.name,
        caption=_caption(study, result, rows, {r for of in shown.values() for r in of}),
        warning=note_of(map(Kind, rows["data"])),
        rows=rows,
        headers=_HEADERS,
        groups=[[_line(study, row) for row in of.to_dict("records")] for of in groups],
        numbers_from=4,
        read=[int(place) + 1 for of in groups for place in of.index],
    )


def _line(study: Study, row: dict) -> list[Cell]:
    def number(key: str, form: str = "z.3f") -> str:
        return NOT_AVAILABLE if pd.isna(row[key]) else format(row[key], form)

    limits = [number(column, "+z.2f") for column in ends("loa", None)]
    no_r = [note[2:] for note in row["note"].split("; ") if note.startswith("r none")]
    n = f"{row['n']} (absent in some)" if "absent" in row["note"] else str(row["n"])
    texts = (
        row["cohort"],
        study.tracer_label(row["tracer"]),
        row["region"],
        study.label(row["method"]),
        n,
        number("suvr_true"),
        number("suvr"),
        with_interval(row, "bias", "+z.3f"),
        number("bias_percent", "+z.1f"),
        number("ccc", "z.2f"),
        number("icc", "z.2f"),
        NOT_AVAILABLE if NOT_AVAILABLE in limits else f"[{', '.join(limits)}]",
        no_r[0] if no_r else with_interval(row, "r", "z.2f"),
    )
    return [Cell(text) for text in texts]


def _caption(study: Study, result: Result, rows: pd.DataFrame, shown: Iterable[str]) -> str:
    level = 100 * study.settings.evaluation.interval
    counts = rows.groupby("cohort", sort=False)["n"].agg(["min", "max"])
    told = [
        f"{cohort}, n = {low if low == high else f'{low} to {high}'}"
        for cohort, low, high in counts.itertuples()
    ]
    own = [name for name in study.settings.segmentation.regions if name in shown]
    made = [
        f"{region} is {', '.join(COMPOSITES[region])}"
        for region in COMPOSITES
        if region in shown and region not in own
    ]
    seen = set(rows["region"])
    never = [region for region in known_regions(study) if region not in seen]
    asked = {t: [r for r in shown_regions(study, t) if r in seen] for t in set(rows["tracer"])}
    sentences = [
        f"{result.title}: {'; '.join(told)} subjects",
        "Mean SUVR of a region inside the brain mask, in synthetic and in real PET of one person"
        + averaged(study, counts.index),
        f"Bias: synthetic minus real, [{level:g}% interval over subjects, Student's t]; in % of "
        "each person's real SUVR",
        "CCC: Lin's concordance. ICC(A,1): absolute agreement of one measurement, the ICC(2,1) of "
        "Shrout and Fleiss. Limits of agreement: bias -/+ 1.96 SD of the differences (Bland and "
        f"Altman). r: Pearson's over people, [{level:g}% interval, Fisher's z]; "
        f'"{NO_PERSON}" where a method, such as the mean template, knows nothing of the person, so '
        "that r is 0 or undefined by construction",
        "The CSV has every region of the atlas; here are those of each tracer"
        + (f": {'; '.join(made)} (unions of the atlas's regions)" if made else ""),
    ]
    if own:
        sentences.append(f"Of people's own segmentations where packed: {', '.join(own)}")
    if never:
        sentences.append(
            f"Nobody's brain mask covers half of {', '.join(never)} on this grid: no rows"
        )
    if told := left_out(study, result, asked):
        sentences.append(f"{LEFT_OUT}: {'; '.join(told)}")
    if counts["min"].min() < FEW_SUBJECTS:
        sentences.append(f"With n = {counts['min'].min()} no coefficient says much")
    return ". ".join(sentences) + "."
