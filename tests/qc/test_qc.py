"""The quality page: every subject on it, what misses its limits marked, nothing from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from relad import cli
from relad.fileio import read_json, read_table
from relad.qc.table import range_of
from relad.status import ScanStatus, State, SubjectStatus
from relad.study.settings import QcSettings
from tests.helpers.quality import GOOD, GOOD_PET
from tests.helpers.registered import SETTINGS
from tests.helpers.settings import file_of, of

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    "01f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def write(root: Path, subject: str, *, flair: str = "ok", **qc) -> Path:
    folder = root / f"sub-{subject}"
    folder.mkdir(parents=True)
    SubjectStatus(
        subject,
        session="bl",
        mri={
            "T1w": ScanStatus(State.OK, simulated=True),
            "FLAIR": ScanStatus(State(flair), "it is <b>not</b> there" if flair != "ok" else None),
        },
        pet={"tau": ScanStatus(State.OK, numbers=GOOD_PET)},
        numbers={**GOOD, **qc},
    ).write(folder)
    (folder / f"sub-{subject}_qc.png").write_bytes(PIXEL)
    return folder


@pytest.fixture
def page(tmp_path) -> Path:
    folders = [
        write(tmp_path, "A1"),
        write(tmp_path, "A2", flair="missing"),
        write(tmp_path, "A3", brain_volume_ml=500.0),
    ]
    settings = file_of(SETTINGS)
    words = ["qc", str(tmp_path / "out"), *map(str, folders), "--title", "a </script> cohort"]
    assert cli.main([*words, "--settings", settings]) == 0
    return tmp_path / "out"


def test_every_subject_has_a_row_and_a_reason(page) -> None:
    rows = {row["subject"]: row for row in read_table(page / "qc.tsv")}
    assert [row["status"] for row in rows.values()] == ["ok", "partial", "excluded"]
    assert rows["A1"]["used"] == "T1w,FLAIR,tau"
    assert rows["A2"]["used"] == "T1w,tau"
    assert rows["A2"]["reason"] == "FLAIR missing: it is <b>not</b> there"
    assert rows["A3"]["reason"] == "brain volume 500 ml is outside 800 to 2200 ml"
    judged = {told["subject"]: told for told in read_json(page / "subjects.json")}
    assert judged["A3"]["status"] == judged["A3"]["mri"]["T1w"]["status"] == "excluded"
    assert judged["A2"]["status"] == "ok"
    assert rows["A1"]["tau_reference_variation"] == "0.2"


def test_the_page_is_whole_and_safe(page) -> None:
    text = (page / "index.html").read_text(encoding="utf-8")
    assert text.count("<tr tabindex") == 3
    assert "SIMULATED DATA" in text
    assert "{{" not in text
    # What a reason or a name holds is text, never markup or script.
    assert "<b>not</b>" not in text and "a </script> cohort" not in text
    # Nothing comes from elsewhere.
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text) == []
    assert "@import" not in text and "url(" not in text
    for subject in ("A1", "A2", "A3"):
        assert f"pictures/sub-{subject}_qc.png" in text
        assert (page / "pictures" / f"sub-{subject}_qc.png").read_bytes() == PIXEL
    assert text.count('class="number outside"') == 1


def test_a_subject_given_twice_is_refused(tmp_path, capsys) -> None:
    folder = str(write(tmp_path, "A1"))
    settings = file_of(SETTINGS)
    assert cli.main(["qc", str(tmp_path / "out"), folder, folder, "--settings", settings]) == 2
    assert "subject A1 is given twice" in capsys.readouterr().err


def test_every_limit_is_shown_at_its_column() -> None:
    limits = replace(of(QcSettings).qc, min_pose_margin=0.01, max_reference_variation=0.7)
    assert range_of("FLAIR_margin", limits) == (0.01, None)
    assert range_of("T1w_margin", limits) == (0.01, None)
    assert range_of("tau_reference_coverage", limits) == (0.8, None)
    assert range_of("tau_coverage", limits) == (0.95, None)
    assert range_of("tau_reference_variation", limits) == (None, 0.7)
    assert range_of("brain_volume_ml", limits) == (800, 2200)
    assert range_of("tau_motion_mm", limits) == (None, None)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_keys_filter_sort_and_mark_in_a_browser(page, tmp_path) -> None:
    file = page / "index.html"
    check = """<script>
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
const said = [];
const subjects = () => rows().filter(r => !r.hidden).map(r => r.dataset.subject).join(" ");
said.push(subjects()); press("4"); said.push(subjects()); press("1");
const th = [...document.querySelectorAll("th")].find(t => t.textContent === "brain volume ml");
const sort = th.querySelector("button");
sort.click(); said.push(subjects()); sort.click(); said.push(subjects());
show(rows()[0]); press("b"); said.push(document.getElementById("marked").textContent);
said.push(chosen.dataset.subject, document.getElementById("picture").getAttribute("src"));
document.title = said.join("|");
</script></body>"""
    text = file.read_text(encoding="utf-8").replace("</body>", check)
    (page / "check.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", (page / "check.html").as_uri()],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    assert title.split("|") == [
        *("A1 A2 A3", "A3", "A3 A1 A2", "A1 A2 A3", "1 of 3 marked, 1 bad"),
        *("A2", "pictures/sub-A2_qc.png"),
    ]
