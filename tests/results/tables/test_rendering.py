"""The three forms of a table."""

from __future__ import annotations

import pandas as pd

from relad.fileio import read_table
from relad.results.study import Study, function_of
from relad.results.tables import downstream
from relad.results.tables.rendering import Cell, Table, with_interval
from relad.study.catalogue import RESULTS, TABLE


def table(rows: pd.DataFrame | None = None, cell: str = "x", **changes) -> Table:
    rows = pd.DataFrame() if rows is None else rows
    shared = {"name": "t", "caption": "50% of x_0", "warning": "", "headers": ["a & b"]}
    return Table(**{**shared, **changes}, rows=rows, groups=[[[Cell(cell)]]], numbers_from=1)


def test_special_characters_are_escaped():
    made = table(cell="x_0 < 1|2")
    assert r"50\% of x\_0" in made.tex()
    assert r"a \& b" in made.tex()
    assert r"x\_0 $<$ 1|2 \\" in made.tex()
    assert r"| x\_0 &lt; 1\|2 |" in made.markdown()


def test_a_number_stands_with_its_interval_as_far_as_it_has_them():
    nan = float("nan")
    row = {"a": 1.254, "a_low": -0.001, "a_high": 2.0, "b": 1.0, "b_low": nan, "c": nan, "d": 1.0}
    shown = [with_interval(row, name, "z.2f") for name in "abcde"]
    assert shown == ["1.25 [0.00, 2.00]", "1.00", "n/a", "1.00", "n/a"]


def test_the_warning_stands_before_the_caption():
    made = table(warning="SIMULATED DATA")
    assert made.markdown().startswith("**SIMULATED DATA**\n\n50% of x_0\n")
    assert r"\caption{\textbf{SIMULATED DATA.} 50\%" in made.tex()


def test_numbers_are_written_with_six_decimals_and_what_is_missing_as_nothing(tmp_path):
    rows = pd.DataFrame(
        [
            {"name": "007", "count": 3, "value": 0.1234567, "low": None},
            {"name": "NA", "count": None, "value": float("inf"), "low": 1.0},
        ],
        dtype=object,
    )
    assert table(rows).write(tmp_path)[0].read_text() == (
        "name,count,value,low\n007,3,0.123457,\nNA,,inf,1.000000\n"
    )
    assert read_table(tmp_path / "t.csv")[1]["count"] is None


def test_a_p_value_has_six_digits_however_small_it_is(tmp_path):
    rows = pd.DataFrame({"p": [2.0**-59, 0.05], "p_holm": [1e-12, 1.0], "psnr": [1e-12, 20.0]})
    assert table(rows).write(tmp_path)[0].read_text() == (
        "p,p_holm,psnr\n1.73472e-18,1.00000e-12,0.000000\n0.0500000,1.00000,20.000000\n"
    )


def test_a_groups_name_stands_once_in_latex():
    groups = [[[Cell("study"), Cell("one", bold=True)], [Cell("study"), Cell("two")]]]
    made = Table("t", "c", "", pd.DataFrame(), ["a", "b"], groups, numbers_from=2)
    assert "study & \\textbf{one} \\\\\n & two \\\\" in made.tex()
    groups[0][1][0] = Cell("other")  # methods of a table without cohorts
    assert "\\\\\nother & two \\\\" in made.tex()
    groups[0][1][0] = Cell("study")
    assert made.markdown().count("study") == 2


def test_every_table_for_reading_tells_which_rows_of_the_csv_it_shows(study: Study) -> None:
    results = [r for r in RESULTS if r.kind == TABLE and r.group is not None]
    made = {r.name: table for r in results if (table := function_of(r)(study, r)) is not None}
    assert {"main", "regions", "downstream", "positivity", "decisions", "ranks"} <= set(made)
    labels = {m: study.label(m) for m in study.settings.methods} | downstream.LABELS
    for name, table in made.items():
        shown, rows = table.shown(), table.written()
        lines = [line for group in shown["groups"] for line in group]
        for number, line in zip(shown["read"], lines, strict=True):
            row = rows[number - 1]
            texts = dict(zip(shown["headers"], line, strict=True))
            assert labels[row["method"]] in line, name
            for head in {"Cohort", "Region", "Group"} & set(texts):
                assert texts[head] == row[head.lower()], name
