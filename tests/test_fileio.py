"""Files come whole or not at all, with the same bytes, and bad images are refused by name."""

from __future__ import annotations

import errno
import gzip
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad import locks
from relad.errors import DataError, MachineError, ReladError
from relad.fileio import (
    content_of,
    read_json,
    read_table,
    whole_file,
    whole_folder,
    write_json,
    write_table,
    write_text,
)
from relad.imaging.nifti import load_nifti, save_nifti
from relad.study.paths import REPOSITORY

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)


def test_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.nii.gz"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert temporary.name.endswith(".nii.gz")
        raise RuntimeError
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out", mark="file") as temporary:
        (temporary / "file").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_folder_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("stale", "fresh"):
        (tmp_path / "out" / name).touch()
    with whole_folder(tmp_path / "out", mark="fresh") as temporary:
        (temporary / "fresh").touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["fresh"]


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years", encoding="utf-8")
    refused = pytest.raises(ReladError, match="is not a result of this step")
    with refused, whole_folder(tmp_path / "out", mark="status.json"):
        raise AssertionError("must not be entered")
    (tmp_path / "file").touch()
    with refused, whole_folder(tmp_path / "file", mark="status.json"):
        raise AssertionError("must not be entered")
    assert (tmp_path / "out" / "thesis.txt").read_text(encoding="utf-8") == "years"


# --- one writer at a time ------------------------------------------------------------------------

#: Writes a file or a folder, says so, and does not end.
WRITER = """
import sys, time
from pathlib import Path
from relad import fileio
out = Path(sys.argv[1])
writes = fileio.whole_folder(out, mark="mark") if out.suffix == "" else fileio.whole_file(out)
with writes as temporary:
    (temporary / "mark" if out.suffix == "" else temporary).write_text("half")
    print("writes", flush=True)
    time.sleep(100)
"""


@contextmanager
def writer(out: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the midst of writing."""
    words = [sys.executable, "-c", WRITER, str(out)]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "writes\n"
            yield process
        finally:
            process.kill()


def write(out: Path) -> None:
    if out.suffix:
        write_text(out, "whole")
        return
    with whole_folder(out, mark="mark") as temporary:
        (temporary / "mark").write_text("whole")


@pytest.mark.parametrize("name", ["a.csv", "folder"])
def test_a_second_writer_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.2)
    with writer(tmp_path / name) as first:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(MachineError, match=rf"{name}: is being written by another process"):
            write(tmp_path / name)
        assert f"waits for process {first.pid} on {socket.gethostname()}" in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.csv", "folder"])
def test_a_killed_writer_holds_nobody_up_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with writer(tmp_path / name) as first:
        threading.Timer(0.3, first.kill).start()
        write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    written = tmp_path / name if name.endswith(".csv") else tmp_path / name / "mark"
    assert written.read_text() == "whole"


def test_only_what_killed_writers_of_this_output_left_is_removed(tmp_path: Path) -> None:
    of_others = [".part-12-b-a.csv", ".part-12-4-a.csv", ".part-x-a.csv", ".part-12-a.csv.gz"]
    of_this = [".part-12-a.csv", ".part-99999999-a.csv", ".part-lock-a.csv"]
    for name in (*of_others, *of_this):
        (tmp_path / name).write_text("half")
    (tmp_path / ".part-13-a.csv").mkdir()
    write(tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*of_others, "a.csv"])


def test_a_result_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    """Killed between the two renames, before the new one took its place; and then it fails."""
    (tmp_path / ".part-12-out.old").mkdir()
    (tmp_path / ".part-12-out.old" / "mark").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out", mark="mark"):
        raise RuntimeError
    assert (tmp_path / "out" / "mark").read_text() == "old"


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(tmp_path, monkeypatch) -> None:
    """By whoever held it, between any two looks at it."""
    flock, taken = locks.fcntl.flock, []

    def removed_meanwhile(descriptor: int, kind: int) -> None:
        flock(descriptor, kind)
        taken.append(descriptor)
        if len(taken) == 1:
            (tmp_path / ".part-lock-a.csv").unlink()

    monkeypatch.setattr(locks.fcntl, "flock", removed_meanwhile)
    monkeypatch.setattr(Path, "exists", lambda path: True)  # as it was a moment ago
    write(tmp_path / "a.csv")
    assert len(taken) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_system_without_locks_is_written_and_nothing_removed(tmp_path, monkeypatch) -> None:
    def fails(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", fails)
    (tmp_path / ".part-12-a.csv").write_text("maybe being written")
    write(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", ".part-12-a.csv"}


# --- tables and images ---------------------------------------------------------------------------


def test_a_table_is_written_as_its_rows_come(tmp_path):
    rows = ({"a": number, "b": "x" * 200} for number in range(5000))
    tracemalloc.start()
    write_table(tmp_path / "table.csv", rows, ["a", "b"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000 < 1_000_000 < (tmp_path / "table.csv").stat().st_size


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_table_comes_back(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"table.{suffix}"
    write_table(file, [{"a": 1, "b": None}, {"a": "x, y", "b": "é"}], ["a", "b"])
    assert read_table(file) == [{"a": "1", "b": None}, {"a": "x, y", "b": "é"}]
    assert ("n/a" in file.read_text(encoding="utf-8")) == (suffix == "tsv")


def test_table_refuses_a_column_it_would_drop(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'c'"):
        write_table(tmp_path / "table.csv", [{"a": 1, "c": 2}], ["a"])
    assert not (tmp_path / "table.csv").exists()


def test_unreadable_json_and_table_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"a\.csv: not a readable table"):
        read_table(tmp_path / "a.csv")
    for read, name in ((read_json, "none.json"), (read_table, "none.csv")):
        with pytest.raises(ReladError, match=f"{name}: no such"):
            read(tmp_path / name)


def test_the_line_that_is_no_utf8_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes("a\tb\n1\té\n2\tü\n".encode().replace("ü".encode(), b"\xfc"))
    with pytest.raises(DataError, match=r"line 3 is not UTF-8: byte 0xfc\) -- save it in .* UTF-8"):
        read_table(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a\tb\n1\t2\n3\t"4\n5\t6\n', "line 3 holds a quotation mark that is not closed"),
        ('a\tb\n3\t"4\n5\t6"\n', "line 2 holds a quotation mark that is not closed"),
        ("a\tb\ta \n1\t2\t3\n", "has more than one column a"),
    ],
)
def test_a_table_that_would_lose_rows_or_cells_is_refused(tmp_path: Path, text, said) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / "a.tsv")


def test_a_cell_of_several_lines_is_of_spreadsheets_alone_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,"2\n3"\n')
    assert read_table(tmp_path / "a.csv") == [{"a": "1", "b": "2\n3"}]
    (tmp_path / "a.csv").write_text('a,b\n1,"2\n3,4\n')
    with pytest.raises(DataError, match="line 2 holds a quotation mark that is not closed"):
        read_table(tmp_path / "a.csv")


def test_a_mark_within_a_cell_and_blanks_of_the_header_are_harmless(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('a \t b\n5" \t"x"\n')
    assert read_table(tmp_path / "a.tsv") == [{"a": '5" ', "b": "x"}]


def test_a_marked_utf8_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": "é"}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"a": "é"}


def test_json_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, "é"], "a": None})
    assert read_json(tmp_path / "a.json") == {"b": [1, "é"], "a": None}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_image_comes_back(tmp_path: Path, volume: np.ndarray, name: str) -> None:
    save_nifti(tmp_path / name, volume.astype(np.float64), AFFINE, note="simulated")
    image = load_nifti(tmp_path / name, ndim=3)
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), volume)
    np.testing.assert_allclose(image.affine, AFFINE)
    header = nib.load(tmp_path / name).header
    assert header["descrip"].tobytes().startswith(b"simulated")
    assert header.get_xyzt_units() == ("mm", "sec")


def test_equal_images_are_equal_bytes(tmp_path: Path, volume: np.ndarray) -> None:
    save_nifti(tmp_path / "a.nii.gz", volume, AFFINE)
    save_nifti(tmp_path / "other.nii.gz", volume, AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()


def test_mask_is_stored_as_bytes(tmp_path: Path, volume: np.ndarray) -> None:
    save_nifti(tmp_path / "mask.nii.gz", volume > 0.5, AFFINE)
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8


def save_raw(file: Path, data: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(data, AFFINE), file)


def test_trailing_axis_of_one_is_dropped(tmp_path: Path, volume: np.ndarray) -> None:
    save_raw(tmp_path / "a.nii.gz", volume[..., None])
    assert load_nifti(tmp_path / "a.nii.gz", ndim=3).shape == volume.shape


def test_bad_images_are_refused_by_name(tmp_path: Path, volume: np.ndarray) -> None:
    file = tmp_path / "bad.nii.gz"

    def refused(said: str, **options: int) -> None:
        with pytest.raises(DataError, match=f"bad.nii.gz: .*{said}") as error:
            load_nifti(file, **options)
        assert "\n" not in str(error.value)

    refused("no such image")
    save_raw(file, volume)
    refused("has 3 dimensions where 4 are needed", ndim=4)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused("cannot be read: .*truncated")
    file.write_bytes(gzip.compress(gzip.decompress(whole)[:400]))
    refused("truncated .holds 400 of 832 bytes")
    file.write_bytes(b"not an image")
    refused("cannot be read")
    save_raw(file, np.where(volume > 0.5, np.nan, volume).astype(np.float32))
    refused("voxels are NaN or infinite")
    save_raw(file, np.zeros_like(volume))
    refused("the image is empty")
    header = bytearray(gzip.decompress(whole))
    header[252:254] = bytes(2)  # qform_code: none
    header[312:328] = bytes(16)  # srow_z: zeros
    file.write_bytes(gzip.compress(bytes(header)))
    refused("its affine is singular")


def test_an_error_that_names_no_file_gets_that_of_the_content(tmp_path: Path) -> None:
    with (
        pytest.raises(
            DataError, match=r"a\.json: is no record \(grid must be a section\) -- again"
        ),
        content_of(tmp_path / "a.json", "record", hint="again"),
    ):
        raise ReladError("grid must be a section")
    with (
        pytest.raises(ReladError, match=r"^b\.json: is wrong$"),
        content_of(tmp_path / "a.json", "record", hint="again"),
    ):
        raise ReladError("is wrong", file="b.json")
