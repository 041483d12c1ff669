"""Wrong files, names and numbers on the command line: one line that names them, and status 2.

Many more of them, at random: tests/fuzzing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from relad import cli
from relad.data.dataset import PackedDataset
from relad.errors import DataError, ReladError
from relad.fileio import read_json, read_table, write_json, write_text
from relad.results.records import read_synthesis, read_training
from relad.status import ScanStatus, State, SubjectStatus
from relad.study.config import load_settings
from relad.study.settings import OF_STEP, PackSettings
from tests.helpers.bids_tree import PET, session
from tests.helpers.settings import file_of, study


def refused(capsys: pytest.CaptureFixture[str], said: str, *words: object) -> None:
    try:
        status = cli.main([str(word) for word in words])
    except SystemExit as usage:  # argparse's own
        status = usage.code
    assert status == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"relad {words[0]}: error: ") and said in line, line


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["02", "sub-01", "", "../x", "é"])
def test_a_subject_whom_the_dataset_has_not(tmp_path, capsys, label: str) -> None:
    """nipreps/mriqc#463 (nobody) and #954 (a right label with its prefix)."""
    session(tmp_path / "bids", "01", "a", PET)
    write_json(tmp_path / "bids" / "dataset_description.json", {"Name": "x"})
    said = f"has no subject {label!r} -- give the label without sub-"
    refused(capsys, said, "register", tmp_path / "bids", tmp_path / "out", "--subject", label)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("step", ["ingest", "qc"])
def test_a_cohort_that_the_study_has_not(tmp_path, capsys, step: str) -> None:
    """A name mistyped would otherwise be one without overrides."""
    words = [tmp_path, tmp_path / "out"] if step == "ingest" else [tmp_path / "out", tmp_path]
    refused(capsys, "no cohort 'sim-trian' -- known: sim-train", step, *words,
            "--cohort", "sim-trian", "--settings", file_of(study()))  # fmt: skip


def test_folders_that_hold_nobody(tmp_path, capsys) -> None:
    words = ["qc", tmp_path / "out"]
    refused(capsys, "none: no such folder", *words, tmp_path / "none")
    refused(capsys, "holds no subject's folder (sub-*)", *words, tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "sub-01_flicker.jpg").touch()
    (tmp_path / "one" / "status.json").touch()
    said = "one: holds no subject's folder (sub-*) -- it is one person's: rename it sub-LABEL"
    refused(capsys, said, *words, tmp_path / "one")
    assert not (tmp_path / "out").exists(), "no page of nobody"
    refused(capsys, "no such folder", "enroll", tmp_path / "none", tmp_path / "x.tsv",
            "--cohort", "sim-train")  # fmt: skip


def test_a_table_replaces_no_file_of_another_kind(tmp_path, capsys) -> None:
    (tmp_path / "bids").mkdir()
    (tmp_path / "scan.nii").write_text("years of work")
    words = ["enroll", tmp_path / "bids", tmp_path / "scan.nii", "--cohort", "sim-train"]
    refused(capsys, "the table's name must end in .tsv", *words)
    assert (tmp_path / "scan.nii").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe\x00", "cannot read the words of a file"), (None, "No such file or directory")],
)
def test_words_of_a_file_that_cannot_be_read(tmp_path, capsys, content, said: str) -> None:
    if content is not None:
        (tmp_path / "words").write_bytes(content)
    with pytest.raises(SystemExit) as usage:
        cli.main(["qc", str(tmp_path / "out"), f"@{tmp_path / 'words'}"])
    assert usage.value.code == 2 and said in capsys.readouterr().err


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "nan", "1e3", "", "x", "9" * 30, "0x10"])
def test_whole_numbers(tmp_path, capsys, text: str) -> None:
    said = f"{text!r} is not a whole number from 1 to"
    refused(capsys, said, "ingest", tmp_path, tmp_path / "out", f"--jobs={text}")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1e308", "1e-300"])
def test_ranges_of_data(tmp_path, capsys, text: str) -> None:
    refused(capsys, "--data-range", "metrics", "a.nii", "b.nii", f"--data-range={text}")


@pytest.mark.parametrize("text", ["nan", "inf", "-2", "0", "1e9"])
def test_voxel_sizes(tmp_path, capsys, text: str) -> None:
    refused(capsys, "--voxel-mm must lie in", "coregister", "a.nii", "b.nii", "--transform",
            tmp_path / "x.mat", f"--voxel-mm={text}")  # fmt: skip


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", OF_STEP)
def test_settings_without_a_section_of_the_step(step: str) -> None:
    whole = study()
    kind = OF_STEP[step]
    for section in {"tracers", "cohorts", "methods", "grid", "training"} & set(
        kind.__dataclass_fields__
    ):
        file = file_of({key: part for key, part in whole.items() if key != section})
        with pytest.raises(ReladError, match=rf"{file}: the settings lack {section}"):
            load_settings(file, kind)


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("grid", 3, "at grid: 3 is not of type 'object'"),
        ("grid", {"voxel_mm": -2, "shape": [8, 8, 8], "deform": True}, "at grid.voxel_mm"),
        ("seed", "x", "at seed: 'x' is not of type"),
        ("tracers", [], "tracers must be a section, not []"),
        ("tracers", {"tau": 3}, "tracers.tau must be a section, not 3"),
        ("cohorts", {"a": {"role": 3}}, "cohorts.a.role must be text, not 3"),
        ("folds", {"count": 1e400}, "folds"),
    ],
)
def test_settings_of_wrong_values(section: str, value: Any, said: str) -> None:
    file = file_of({**study(), section: value})
    with pytest.raises(ReladError) as error:
        load_settings(file, PackSettings)
    assert said in str(error.value) and str(error.value).startswith(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "is no configuration: it holds no keys"),
        ("tracers: .nan\n", "holds a value that no key takes"),
        ("cohorts: 2020-01-01\n", "holds a value that no key takes"),
        ("a: [1\n", "not valid YAML"),
        ("? [a]\n: 1\n", "not valid YAML"),
    ],
)
def test_files_that_are_no_study(tmp_path, text: str, said: str) -> None:
    write_text(tmp_path / "a.yaml", text)
    with pytest.raises(ReladError) as error:
        load_settings(tmp_path / "a.yaml", PackSettings)
    assert f"a.yaml: {said}" in str(error.value)


# --- records and tables ---------------------------------------------------------------------------

WRONG = (None, [], {}, "x", -1, 1e308, [None], [[1]])


def _status() -> dict[str, Any]:
    status = SubjectStatus("01", pet={"tau": ScanStatus(State.OK)})
    return json.loads(json.dumps(status.as_dict()))


def _every(record: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all values in nested mappings."""
    if not isinstance(record, dict):
        return []
    below = [place for key, part in record.items() for place in _every(part, (*before, key))]
    return [*((*before, key) for key in record), *below]


TRAINING = {"method": "unet", "fold": 0, "seed": 0, "kind": "real", "data": "x",
            "subjects": {"train": ["a"], "validation": [], "test": ["b"]},
            "code": {"training": "x"}, "single_pass": False, "counts": {"updates": 4},
            "measured": {"seconds": 1}}  # fmt: skip
SYNTHESIS = {"cohort": "a", "method": "unet", "sampler": "x", "fold": 0, "seed": 0, "kind": "real",
             "samples": 1, "untrained": []}  # fmt: skip


@pytest.mark.parametrize("name", ["status.json", "dataset.json", "train.json", "synthesis.json"])
def test_a_record_of_wrong_values_is_refused_or_read(tmp_path, packed, name: str) -> None:
    """Every value of each record, by ones of other types: never an error that names no file."""
    readers = {
        "status.json": (_status(), SubjectStatus.read),
        "dataset.json": (read_json(packed / "dataset.json"), PackedDataset),
        "train.json": (TRAINING, read_training),
        "synthesis.json": (SYNTHESIS, read_synthesis),
    }
    record, read = readers[name]
    if name == "dataset.json":
        for file in packed.iterdir():
            (tmp_path / file.name).symlink_to(file)
        (tmp_path / name).unlink()
    read_again = 0
    for place in ((), *_every(record)):
        for wrong in WRONG:
            changed = json.loads(json.dumps(record))
            part = changed
            for key in place[:-1]:
                part = part[key]
            if place:
                part[place[-1]] = wrong
            write_json(tmp_path / name, changed if place else wrong)
            try:
                read(tmp_path)
                read_again += 1
            except ReladError as error:
                assert str(error).startswith(str(tmp_path)), error
    assert 0 < read_again < len(_every(record)) * len(WRONG) / 1.5, "most are refused, not all"


def test_tables_of_other_shapes(tmp_path) -> None:
    file = tmp_path / "a.tsv"
    write_text(file, "a\tb\n1\t2\t3\n")
    with pytest.raises(DataError, match=r"a\.tsv: line 2 has more cells than the header"):
        read_table(file)
    write_text(file, "a\tb\n1\t2\t\t\n3\n")  # cells that hold nothing say nothing
    assert read_table(file) == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]
    with pytest.raises(DataError, match=r"a\.tsv: lacks the columns c, d"):
        read_table(file, ["a", "c", "d"])


def test_deep_and_empty_json(tmp_path) -> None:
    for text in ("[" * 100_000, "", "{'a': 1}", "\ud800".encode("utf-8", "surrogatepass")):
        if isinstance(text, bytes):
            (tmp_path / "a.json").write_bytes(text)
        else:
            write_text(tmp_path / "a.json", text)
        with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
            read_json(tmp_path / "a.json")
