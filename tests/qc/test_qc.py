"""The quality page: every subject on it, what misses its limits marked, nothing from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relad import cli
from relad.fileio import read_json, read_table, write_json
from relad.qc.flicker import Flicker, Pair
from relad.qc.table import MOTION_COLUMNS, range_of
from relad.status import ScanStatus, State, SubjectStatus
from relad.study import paths
from relad.study.settings import QcSettings
from tests.helpers.browser import in_browser, needs_browser
from tests.helpers.quality import GOOD, GOOD_PET, SMALL
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


def write_views(folder: Path, subject: str, *, flair: bool) -> None:
    """Tiles as `relad normalize` writes them, of a ball and of balls that lie elsewhere."""
    flicker = Flicker()

    def ball(x: float) -> np.ndarray:
        return np.linalg.norm(flicker.points - (x, -17, 5), axis=1) < 60

    flicker.outline("brain", ball(0))
    flicker.outline("template", ball(0))
    flicker.view("T1w", 100.0 * ball(0))
    flicker.view("template", 1.0 * ball(0))
    flicker.pairs.append(Pair("T1w / template, affine", "T1w", "template", "template"))
    if flair:
        flicker.view("FLAIR", 100.0 * ball(0))
        flicker.view("FLAIR as headers place it", 100.0 * ball(30), like="FLAIR")
        flicker.pairs.append(Pair("FLAIR / T1w", "FLAIR", "T1w"))
        flicker.pairs.append(Pair("FLAIR before / after", "FLAIR as headers place it", "FLAIR"))
    flicker.write(folder, subject, f"SIMULATED DATA sub-{subject}")


def write_motion(folder: Path, subject: str, *, corrected: bool = True) -> None:
    """Three frames: one that shows no head, two inside the window."""
    keys = ("index", "start_s", "duration_s", "in_window", "displacement_mm", "translation_mm",
            "rotation_deg", "reference_to_frame_ras_mm")  # fmt: skip
    frames = [
        (0, 0.0, 600.0, False, None, None, None, None),
        (1, 600.0, 300.0, True, 3.5, [3.0, 1.0, -1.0], [0.5, 0.0, 0.25], np.eye(4).tolist()),
        (2, 900.0, 300.0, True, 0.0, [0.0] * 3, [0.0] * 3, np.eye(4).tolist()),
    ]
    told = [dict(zip(keys, frame, strict=True)) for frame in frames]
    write_json(
        folder / paths.motion(subject, "tau"),
        {"corrected": corrected, "reference": 2, "frames": told},
    )


@pytest.fixture
def page(tmp_path) -> Path:
    folders = [
        write(tmp_path, "A1"),
        write(tmp_path, "A2", flair="missing"),
        write(tmp_path, "A3", brain_volume_ml=500.0),
    ]
    write_views(folders[0], "A1", flair=True)
    write_motion(folders[0], "A1")
    write_views(folders[1], "A2", flair=False)
    write_motion(folders[1], "A2", corrected=False)
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
    assert rows["A3"]["reason"] == SMALL
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


def test_motion_of_every_frame_is_a_table(page) -> None:
    first, second, third, *others = read_table(page / "motion.tsv")
    assert [(row["subject"], row["corrected"]) for row in others] == [("A2", "no")] * 3
    assert tuple(first) == MOTION_COLUMNS
    assert (first["subject"], first["tracer"], first["frame"]) == ("A1", "tau", "0")
    # A frame that shows too little of the head has no number.
    assert first["in_window"] == "no" and first["displacement_mm"] is None is first["z_deg"]
    assert (second["in_window"], second["corrected"]) == ("yes", "yes")
    assert (second["start_s"], second["duration_s"]) == ("600.0", "300.0")
    assert [second[key] for key in ("displacement_mm", "x_mm", "z_mm", "x_deg", "z_deg")] == [
        *("3.5", "3.0", "-1.0", "0.5", "0.25"),
    ]
    assert third["displacement_mm"] == "0.0"


def judge_by_hand(tmp_path: Path, *overrides: dict, out: str = "judged") -> int:
    """Two subjects judged, the second of which has too small a brain."""
    folders = [tmp_path / f"sub-{subject}" for subject in ("A1", "A3")]
    if not folders[0].exists():
        write(tmp_path, "A1")
        write(tmp_path, "A3", brain_volume_ml=500.0)
    given = [
        {"cohort": "toy", "who": "XY", "why": "seen <i>it</i>", **entry} for entry in overrides
    ]
    qc = {**SETTINGS["qc"], "overrides": given}
    words = ["qc", str(tmp_path / out), *map(str, folders)]
    return cli.main([*words, "--settings", file_of({**SETTINGS, "qc": qc})])


def test_what_a_person_decided_is_told_everywhere(tmp_path, capsys) -> None:
    keep, drop = ({"subject": "A3", "decision": "keep"}, {"subject": "A1", "decision": "drop"})
    assert judge_by_hand(tmp_path, keep, drop) == 0
    rows = {row["subject"]: row for row in read_table(tmp_path / "judged" / "qc.tsv")}
    note = f"kept by XY although {SMALL}: seen <i>it</i>"
    assert (rows["A3"]["status"], rows["A3"]["override"]) == ("ok", note)
    assert rows["A3"]["used"] == "T1w,FLAIR,tau"
    assert rows["A1"]["status"] == "excluded"
    assert rows["A1"]["reason"] == rows["A1"]["override"] == "dropped by XY: seen <i>it</i>"
    told = {s["subject"]: s for s in read_json(tmp_path / "judged" / "subjects.json")}
    assert told["A3"]["override"] == {
        **{"decision": "keep", "who": "XY", "why": "seen <i>it</i>", "note": note}
    }
    assert told["A3"]["status"] == "ok" and told["A1"]["status"] == "excluded"
    text = (tmp_path / "judged" / "index.html").read_text(encoding="utf-8")
    assert "kept by XY although brain volume 500 ml" in text and "<i>it</i>" not in text
    assert f"A3: {note}" in capsys.readouterr().err
    # Nobody's decisions: no column on the page.
    assert judge_by_hand(tmp_path, out="by-limits") == 0
    text = (tmp_path / "by-limits" / "index.html").read_text(encoding="utf-8")
    assert '<button type="button">override</button>' not in text


def test_an_override_of_nobody_names_him(tmp_path, capsys) -> None:
    assert judge_by_hand(tmp_path, {"subject": "A9", "decision": "keep"}) == 2
    assert "qc.overrides: cohort has no subject A9" in capsys.readouterr().err
    assert not (tmp_path / "judged").exists()


def test_a_subject_given_twice_is_refused(tmp_path, capsys) -> None:
    folder = str(write(tmp_path, "A1"))
    settings = file_of(SETTINGS)
    assert cli.main(["qc", str(tmp_path / "out"), folder, folder, "--settings", settings]) == 2
    assert "subject A1 is given twice" in capsys.readouterr().err


def test_every_limit_is_shown_at_its_column() -> None:
    limits = replace(of(QcSettings).qc, min_pose_margin=0.01, max_reference_variation=0.7)
    assert range_of("FLAIR_margin", limits) == (0.02, None)
    assert range_of("tau_margin", limits) == (0.01, None)
    assert range_of("T1w_margin", limits) == (0.03, None)
    assert range_of("tau_reference_coverage", limits) == (0.8, None)
    assert range_of("tau_coverage", limits) == (0.95, None)
    assert range_of("tau_reference_variation", limits) == (None, 0.7)
    assert range_of("brain_volume_ml", limits) == (800, 2200)
    assert range_of("tau_motion_mm", limits) == (None, 15)
    assert range_of("tau_reference_mean", limits) == (None, None)


@needs_browser
def test_keys_filter_sort_and_mark_in_a_browser(page, tmp_path) -> None:
    script = """
const subjects = () => rows().filter(r => !r.hidden).map(r => r.dataset.subject).join(" ");
said.push(subjects()); press("4"); said.push(subjects()); press("1");
const th = [...document.querySelectorAll("th")].find(t => t.textContent === "brain volume ml");
const sort = th.querySelector("button");
sort.click(); said.push(subjects()); sort.click(); said.push(subjects());
show(rows()[0]); press("b"); said.push(document.getElementById("marked").textContent);
said.push(chosen.dataset.subject, document.getElementById("picture").getAttribute("src"));
"""
    assert in_browser(page / "index.html", tmp_path, script) == [
        *("A1 A2 A3", "A3", "A3 A1 A2", "A1 A2 A3", "1 of 3 marked, 1 bad"),
        *("A2", "pictures/sub-A2_qc.png"),
    ]


@needs_browser
def test_keys_choose_a_pair_and_flip_it_in_a_browser(page, tmp_path) -> None:
    script = """
// View, place in the column of tiles, which outline, whether overview and pair are hidden.
const state = () => said.push([at("view").textContent, at("tiles").style.top,
  at("edge").style.top, at("open").hidden, at("stage").hidden].join(","));
said.push([...at("pairs").children].map(b => b.textContent).join(", ")); state();
press("ArrowRight"); state(); press(" "); state();
press("ArrowLeft"); press("ArrowLeft"); state(); press(" "); state();
said.push(at("tiles").alt, at("tiles").getAttribute("src"), at("edge").getAttribute("src"));
press("o"); said.push(at("edge").hidden + " " + at("outline").getAttribute("aria-pressed"));
press("j"); state(); press("k"); state();
at("flip").click(); state(); at("pairs").children[2].click(); state();
said.push(at("pairs").children[2].getAttribute("aria-pressed"));
"""
    before, overview = "FLAIR as headers place it,-300%,0%,true,false", ",,,false,true"
    assert in_browser(page / "index.html", tmp_path, script) == [
        "overview, T1w / template, affine, FLAIR / T1w, FLAIR before / after",
        overview,
        "T1w,0%,-100%,true,false",
        "template,-100%,-100%,true,false",
        before,  # from the first pair backwards over the overview to the last
        "FLAIR,-200%,0%,true,false",
        *("FLAIR of sub-A1", "pictures/sub-A1_flicker.jpg", "pictures/sub-A1_flicker.png"),
        "true false",
        # The next subject has no FLAIR, and says so; the pair stays chosen.
        "no FLAIR before / after of this subject,-200%,0%,true,true",
        *(before, "FLAIR,-200%,0%,true,false", "FLAIR,-200%,0%,true,false", "true"),
    ]


@needs_browser
def test_motion_is_plotted_and_listed_in_a_browser(page, tmp_path) -> None:
    script = """
const all = selector => [...document.querySelectorAll("#motion " + selector)];
const number = (element, name) => +element.getAttribute(name);
const [moved, still] = all(".frame"), [shaded] = all(".window");
said.push(all("svg").length, all(".frame").length, number(moved, "y1") < number(still, "y1"));
said.push(number(shaded, "x") === number(moved, "x1"));
said.push(Math.abs(number(shaded, "x") + number(shaded, "width") - number(still, "x2")) < 1e-6);
said.push(all("svg")[0].getAttribute("aria-label"), all("td").map(c => c.textContent).join(";"));
show(rows()[1]); said.push(all("summary")[0].textContent.split("; ")[1]);
show(rows()[2]); said.push(all("svg").length);
"""
    assert in_browser(page / "index.html", tmp_path, script) == [
        *("1", "2", "true", "true", "true"),
        "tau: 3 frames, at most 3.5 mm inside the window, 1 that show too little of the head",
        "frame 0;0.0 to 10.0 min;not realignable;;"
        "frame 1;10.0 to 15.0 min;3.50 mm;in the window;"
        "frame 2;15.0 to 20.0 min;0.00 mm;in the window",
        *("motion is NOT corrected", "0"),
    ]
