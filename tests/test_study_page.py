"""The numbers of docs/study/README.md's verdict are those of the tables beside it."""

from __future__ import annotations

import re
from statistics import mean

import pytest

from relad.results.decisions import FIRM
from relad.study.paths import REPOSITORY

FOLDER = REPOSITORY / "docs" / "study"
SECTION = "## Verdict so far"


def rows_of(text: str) -> list[dict[str, str]]:
    """Rows of the first Markdown table of a text, by the names of their columns."""
    lines = [line for line in text.partition("\n|")[2].split("\n\n")[0].splitlines() if line]
    cells = [[cell.strip(" *") for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    head, _, *rows = (line[:-1] if line[0] else line[1:-1] for line in cells)
    return [dict(zip(head, row, strict=True)) for row in rows]


def table(name: str) -> list[dict[str, str]]:
    return rows_of((FOLDER / "tables" / f"{name}.md").read_text(encoding="utf-8"))


def number(cell: str) -> float:
    return float(cell.split(" [")[0].replace("\N{MINUS SIGN}", "-"))


def over_tracers(name: str, method: str, several: bool, metric: str) -> float:
    """Mean over tracers of a method's one image, or of the mean of several samples."""
    of = [
        number(row[metric])
        for row in table(name)
        if row["Method"] == method and row["Sampling"].endswith("mean of 8") == several
    ]
    assert len(of) == 3, (name, method)
    return mean(of)


def decision(name: str, method: str, several: bool) -> tuple[str, str]:
    """Difference in PSNR and verdict."""
    (row,) = (
        row
        for row in table(name)
        if row["Metric"].startswith("PSNR")
        and row["Method"].partition(",")[0] == method
        and row["Method"].endswith("mean of 8") == several
    )
    return row["Difference"].split(" [")[0], row["Verdict"]


VERDICT = rows_of(
    (FOLDER / "README.md").read_text(encoding="utf-8").partition(SECTION)[2].replace("**", "")
)


@pytest.mark.parametrize("row", VERDICT, ids=lambda row: row["method"])
def test_a_row_of_the_verdict_is_that_of_the_tables(row: dict[str, str]) -> None:
    method, _, how = row["method"].partition(", ")
    several = how == "mean of 8 samples"
    for place, accuracy, decisions in (
        ("home", "main", "decisions"),
        ("elsewhere", "external", "decisions_external"),
    ):
        for metric, decimals in (("PSNR (dB)", 2), ("SSIM (3D)", 3), ("MAE (SUVR)", 3)):
            if told := row.get(f"{place}: {metric.partition(' ')[0]}"):
                value = over_tracers(accuracy, method, several, metric)
                # The tables' own numbers are rounded.
                assert float(told) == pytest.approx(value, abs=1.01 * 10**-decimals), metric
        if told := row[f"{place}: difference"]:
            difference, verdict = decision(decisions, method, several)
            firm = verdict in {v.value for v in FIRM}
            assert told == (f"{difference}, {verdict}" if firm else difference)


def test_the_verdict_has_every_method() -> None:
    named = {row["method"].partition(", ")[0] for row in VERDICT}
    assert named == {row["Method"] for row in table("main")}
