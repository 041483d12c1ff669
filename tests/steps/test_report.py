"""``relad report``: one page that holds it all, its verdict first, and says what its data are."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest

from relad import cli
from relad.fileio import read_json, read_table, write_json, write_table
from relad.study.catalogue import FIGURE, RESULTS, TABLE
from tests.helpers.browser import in_browser, needs_browser
from tests.helpers.fake_study import FakeStudy, accept, amend

TABLES = ("main", "external", "runtime", "regions")
FIGURES = ("ablation", "runtime")
QC = (
    ("subject", "status", "reason", "override", "brain_volume_ml"),
    (
        ("A1", "ok", None, None, 1400.0),
        ("A2", "excluded", "no <b>head</b>", None, 700.0),
        ("A3", "ok", None, "keep: looked at", None),
    ),
)


def write_quality(folder: Path) -> Path:
    columns, rows = QC
    write_table(folder / "qc.tsv", [dict(zip(columns, row, strict=True)) for row in rows], columns)
    return folder


def report(study: FakeStudy, *extra: object, out: Path | None = None) -> int:
    results = study.root / "results"
    made = [results / "tables" / f"{name}.csv" for name in TABLES]
    made += [results / "figures" / f"{name}.png" for name in FIGURES]
    quality = ["--qc", results / "qc" / "study"]
    words = [out or results / "report.html", *made, *extra, *quality]
    return cli.main(["report", *map(str, words)])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    study = FakeStudy(tmp_path_factory.mktemp("report"), subjects=6)
    study.evaluate_all()
    for step, names in (("tables", TABLES), ("figures", FIGURES)):
        only = [word for name in names for word in ("--only", name)]
        assert study.summarize(step, study.root / "results" / step, *only) == 0
    write_quality(study.root / "results" / "qc" / "study")
    assert report(study) == 0
    return study


@pytest.fixture(scope="module")
def page(study: FakeStudy) -> str:
    return (study.root / "results" / "report.html").read_text(encoding="utf-8")


def test_everything_given_is_on_it_and_nothing_is_fetched(page):
    titles = {(r.kind, r.name): r.title for r in RESULTS}
    for kind, names in ((TABLE, TABLES), (FIGURE, FIGURES)):
        for name in names:
            assert html.escape(titles[kind, name]) in page
    addresses = re.findall(r'\b(?:src|href)="([^"]*)"', page)
    assert addresses and not [a for a in addresses if re.match(r"(https?:)?//", a)]
    pictures = re.findall(r'src="data:image/webp;base64,', page)
    assert len(pictures) == len(FIGURES) and len(page) < 2_000_000


def test_the_verdict_stands_before_the_tables_and_tells_their_numbers(study, page):
    summary = read_json(study.root / "results/tables/main.table.json")["shown"]["summary"]
    verdict = page[page.index('id="verdict"') : page.index('id="tables"')]
    assert html.escape(summary[0], quote=True).replace("&#x27;", "&#39;") in verdict
    assert len(re.findall("<li>", verdict)) == len(summary) - 1
    assert re.search(r"<li>RelA-Diffusion, [+-]\d+\.\d\d dB, not told from the floor", verdict)


def test_it_says_what_its_data_are(page):
    assert '<p class="banner">SIMULATED DATA (digital phantoms, no patients)</p>' in page
    assert "study is simulated" in page and "elsewhere is simulated" in page


def test_quality_tells_who_is_left_out_and_ranges(page):
    assert "study: 2 ok, 1 excluded" in page
    assert "no &lt;b&gt;head&lt;/b&gt;" in page and "keep: looked at" in page
    assert 'href="qc/study/index.html"' in page
    measure = re.search(r"<tr><td>brain volume ml</td>(.*?)</tr>", page)[1]
    assert re.findall(r">([\d.]+)</td>", measure) == ["2", "700", "1050", "1400"]


def test_a_metric_is_explained_once_and_at_every_heading_of_it(page):
    assert page.count("its windows confined to the mask") == 3  # said once, beside two captions
    assert page.count('id="metric-ssim"') == 1
    assert page.count('aria-describedby="metric-ssim"') == 2  # main and external


def test_a_rows_number_is_that_of_the_csv_also_where_some_are_left_out(study, page):
    """With it `relad explain` finds the row."""
    for name in TABLES:
        rows = read_table(study.root / f"results/tables/{name}.csv")
        part = page[page.index(f'id="table-{name}"') :]
        part = part[: part.index("</table>")]
        heads = [html.unescape(h) for h in re.findall(r">([^<>]*)</button></th>", part)]
        numbers = []
        for line in part.split("<tr")[2:]:
            cells = re.findall(r"<td[^>]*>(?:<b>)?([^<]*)", line)
            row = rows[int(cells[0]) - 1]
            texts = dict(zip(heads, map(html.unescape, cells), strict=True))
            method = study.settings["methods"][row["method"]]["label"]
            assert texts["Method"] == method, name
            for head in {"Region", "Cohort"} & set(texts):
                assert texts[head] == row[head.lower()], name
            numbers.append(int(cells[0]))
        left_out = set(range(1, len(rows) + 1)) - set(numbers)
        assert numbers and bool(left_out) == (name == "regions"), name


def test_decisions_go_before_everything_else(study, tmp_path):
    """What was decided first, and every comparison folded below it."""
    own = study.copy(tmp_path / "own")
    tables = own.root / "results" / "tables"
    columns = ("cohort", "metric", "reference", "sentence")
    of = ("study", "psnr", "template")
    rows = [(*of, "U-Net is <better>."), (*of, "B is not told.")]
    write_table(
        tables / "decisions.csv", [dict(zip(columns, r, strict=True)) for r in rows], columns
    )
    record = read_json(tables / "main.table.json")
    record["result"]["name"] = "decisions"
    record["shown"] |= {"columns": columns, "summary": ["U-Net won.", "1 of 2 are not decided"]}
    for made in record["made"]:
        made["path"] = made["path"].replace("main", "decisions")
        (tables / made["path"]).touch()
    write_json(tables / "decisions.table.json", record)
    accept(own.root / "results")
    assert report(own, tables / "decisions.csv") == 0
    page = (own.root / "results/report.html").read_text(encoding="utf-8")
    verdict = page[page.index('id="verdict"') : page.index('id="tables"')]
    assert re.findall("<li>(.*)</li>", verdict) == [
        *("U-Net won.", "1 of 2 are not decided"),
        *("U-Net is &lt;better&gt;.", "B is not told."),
    ]
    folded = verdict[verdict.index("<details>") :]
    assert "study, PSNR (dB), against Mean template" in folded and "U-Net won." not in folded
    assert "dB, not told from" not in verdict


def test_runs_of_two_versions_are_told_apart(study, tmp_path):
    own = study.copy(tmp_path / "own")
    amend(own.model("unet") / "train.json", provenance={"code": "another"})
    accept(own.root / "results")
    assert report(own) == 0
    page = (own.root / "results/report.html").read_text(encoding="utf-8")
    lines = re.findall(r'<tr><td>train</td><td class="number">(\d)</td><td><code>(\w+)', page)
    assert sorted(lines) == [("1", "another"), ("3", "hash")]


def test_same_input_same_bytes(study, page, tmp_path):
    own = study.copy(tmp_path / "own")
    assert report(own) == 0
    assert (own.root / "results/report.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: (r / "tables/main.csv").unlink(), "main.csv: no such file"),
        (lambda r: (r / "tables/main.table.json").unlink(), "main.csv: is no table or figure of"),
        (lambda r: write_json(r / "tables/main.table.json", {}), "main.table.json: lacks result"),
        (lambda r: write_json(r / "tables/main.table.json", {**read_json(
            r / "tables/main.table.json"), "files": 3}), "is no record of a table or figure"),
        (lambda r: amend(r / "tables/regions.table.json", shown={"read": [1, 2]}),
         "regions.table.json: is no record of a table or figure (ValueError: read"),
        (lambda r: ((r / "figures/ablation.png").write_text("x"), accept(r)),
         "ablation.png: is no picture"),
        (lambda r: (r / "tables/main.csv").write_text("x"),
         "main.csv: has changed since -- make main again: relad tables"),
        (lambda r: shutil.rmtree(r / "models/unet"),
         "unet/fold-0_seed-0/train.json: has vanished since -- make main again: relad tables"),
        (lambda r: amend(r / "models/unet/fold-0_seed-0/train.json", seed=3),
         "train.json: has changed since -- make main again: relad tables"),
        (lambda r: amend(r / "models/unet/fold-0_seed-0/train.json", counts={"updates": None})
         or accept(r),
         "train.json: lacks counts.updates"),
        (lambda r: amend(r / "packed/study/dataset.json", kind="unreal") or accept(r),
         "dataset.json: is no record of `relad pack`"),
        (lambda r: amend(r / "packed/study/dataset.json", provenance={"settings": 3})
         or accept(r),
         "dataset.json: is no record of `relad pack`"),
        (lambda r: (r / "qc/study/qc.tsv").unlink(), "qc.tsv: no such table"),
        (lambda r: (r / "qc/study/qc.tsv").write_text("a\tb\n"), "lacks the columns subject"),
    ],
)  # fmt: skip
def test_what_is_missing_or_damaged_is_named(study, tmp_path, capsys, spoil, said):
    own = study.copy(tmp_path / "own")
    (own.root / "results/report.html").unlink()
    spoil(own.root / "results")
    assert report(own) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (own.root / "results/report.html").exists()


def test_words_are_sorted_as_words_and_intervals_by_their_lower_end(study, tmp_path):
    own = study.copy(tmp_path / "own")
    tables = own.root / "results" / "tables"
    only = [word for name in ("decisions", "regions") for word in ("--only", name)]
    assert own.summarize("tables", tables, *only) == 0
    made = [tables / f"{name}.csv" for name in ("decisions", "regions")]
    assert cli.main(["report", *map(str, [tmp_path / "page.html", *made])]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for heading, numbers in (("Verdict", False), ("Difference", True), ("Limits of", True)):
        (kind,) = re.findall(rf'<th scope="col"([^>]*)><button[^>]*>{re.escape(heading)}', page)
        assert ("number" in kind) == numbers, heading
    limits = re.findall(r'<td class="number" data-value="([^"]*)">\[([^,]*),', page)
    assert limits and all(float(value) == float(low) for value, low in limits)


@needs_browser
def test_tables_sort_meanings_show_and_figures_enlarge_in_a_browser(study, tmp_path):
    script = """
const table = document.querySelector("#table-main table"), body = table.tBodies[0];
const numbers = () => [...body.rows].map(r => r.cells[0].textContent).join(" ");
const head = [...table.tHead.rows[0].cells].find(th => th.textContent === "PSNR (dB)");
const sort = head.querySelector("button"), values = () => [...body.rows].map(r => +r.cells[head.cellIndex].dataset.value);
const rises = list => list.every((v, i) => !i || list[i - 1] <= v);
const before = numbers();
sort.click(); said.push(head.getAttribute("aria-sort"), rises(values()));
sort.click(); said.push(head.getAttribute("aria-sort"), rises(values().reverse()));
table.tHead.rows[0].cells[0].querySelector("button").click(); said.push(numbers() === before);
const ssim = document.querySelector("button[aria-describedby=metric-ssim]");
said.push(tip.hidden); ssim.dispatchEvent(new Event("focus")); said.push(tip.hidden, tip.textContent.slice(0, 16));
press("Escape"); said.push(tip.hidden);
document.querySelector("figure button").click(); said.push(dialog.open, large.src.startsWith("data:"));
press("+"); said.push(large.style.width); press("0"); said.push(large.style.width);
dispatchEvent(new Event("beforeprint")); said.push([...document.querySelectorAll("details")].every(d => d.open));
"""  # noqa: E501
    assert in_browser(study.root / "results/report.html", tmp_path, script) == [
        *("ascending", "true", "descending", "true", "true"),
        *("true", "false", "higher is better", "true"),
        *("true", "true", "150%", "100%", "true"),
    ]
