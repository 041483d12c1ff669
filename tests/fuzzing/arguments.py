"""Every command with wrong files, names and numbers: one line and status 2, nothing written.

Each case takes a command's usual arguments and replaces one to three of them: a file by one of
another kind, a number by one that cannot be, a name by nobody's. Commands run in this process.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from relad import cli
from tests.helpers.bids_tree import PET, session
from tests.helpers.packing import write_packed
from tests.helpers.settings import file_of, study

#: Kinds of arguments: a file that is read, the place of output, a name, a whole number, a number.
READ, OUT, NAME, WHOLE, NUMBER, WORD = "read", "out", "name", "whole", "number", "word"

#: Command -> its usual arguments: option (or none), kind, usual value; {} is the world's folder.
#: Where all is as usual each would work long, so at least one of those marked ! is replaced.
COMMANDS: dict[str, list[tuple[str, str, str]]] = {
    "phantom": [("", OUT, "out"), ("--cohort", "!name", "sim-train"), ("--jobs", WHOLE, "1"),
                ("--heads", READ, "folder"), ("--settings", READ, "settings.json")],
    "ingest": [("", READ, "bids"), ("", OUT, "out"), ("--source", NAME, "bids"),
               ("--checksums", READ, "table.tsv"), ("--max-gap-days", WHOLE, "180"),
               ("--jobs", WHOLE, "1"), ("--settings", READ, "settings.json")],
    "enroll": [("", READ, "bids"), ("", OUT, "out.tsv"), ("--cohort", NAME, "sim-train"),
               ("--settings", READ, "settings.json")],
    "register": [("", READ, "bids"), ("", OUT, "out"), ("--subject", "!name", "nobody"),
                 ("--settings", READ, "settings.json")],
    "normalize": [("", READ, "folder"), ("", OUT, "out"), ("--subject", NAME, "01"),
                  ("--cohort", NAME, "sim-train"), ("--truth", READ, "folder"),
                  ("--settings", READ, "settings.json")],
    "qc": [("", OUT, "out"), ("", READ, "folder"), ("--cohort", NAME, "sim-train"),
           ("--settings", READ, "settings.json")],
    "pack": [("", OUT, "out"), ("", READ, "folder"), ("--qc", READ, "folder"),
             ("--bids", READ, "bids"), ("--cohort", NAME, "sim-train"),
             ("--settings", READ, "settings.json")],
    "train": [("", READ, "packed"), ("", OUT, "out"), ("--method", "!name", "unet"),
              ("--fold", "!whole", "0"), ("--seed", WHOLE, "0"),
              ("--settings", READ, "settings.json")],
    "search": [("", READ, "packed"), ("", OUT, "out"), ("--method", "!name", "unet"),
               ("--fold", "!whole", "0"), ("--settings", READ, "settings.json")],
    "tune": [("", READ, "folder"), ("--out", OUT, "out"), ("--settings", READ, "settings.json")],
    "synthesize": [("", READ, "model"), ("", READ, "packed"), ("", OUT, "out"),
                   ("--sampler", NAME, "ddim"), ("--steps", WHOLE, "5"), ("--samples", WHOLE, "1"),
                   ("--method", NAME, "unet"), ("--settings", READ, "settings.json")],
    "evaluate": [("", READ, "model"), ("", OUT, "out.csv"), ("--packed", READ, "packed"),
                 ("--settings", READ, "settings.json")],
    "ceiling": [("", READ, "packed"), ("", OUT, "out.csv"), ("--settings", READ, "settings.json")],
    "tables": [("", READ, "table.csv"), ("--models", READ, "model"),
               ("--synthesized", READ, "model"), ("--packed", READ, "packed"),
               ("--out", OUT, "out"), ("--only", NAME, "main"),
               ("--settings", READ, "settings.json")],
    "figures": [("", READ, "table.csv"), ("--models", READ, "model"), ("--out", OUT, "out"),
                ("--only", NAME, "metrics"), ("--settings", READ, "settings.json")],
    "explain": [("", READ, "table.csv"), ("--row", WHOLE, "1"), ("--column", NAME, "psnr")],
    "report": [("", OUT, "out.html"), ("", READ, "table.csv"), ("--qc", READ, "folder")],
    "paper": [("", OUT, "out"), ("", READ, "table.csv"), ("", READ, "table.tsv")],
    "crate": [("", READ, "folder"), ("", OUT, "out"), ("--license", NAME, "https://x.org/a"),
              ("--date", NAME, "2026-01-31")],
    "coregister": [("", "!read", "image.nii.gz"), ("", "!read", "image.nii"),
                   ("--transform", OUT, "out.mat"), ("--mask", READ, "image.nii"),
                   ("--frames", "frames", "0 1"), ("--voxel-mm", NUMBER, "2"),
                   ("--resampled", OUT, "out.nii"),
                   ("--threads", WHOLE, "1"), ("--seed", WHOLE, "0")],
    "preprocess": [("", OUT, "out"), ("--t1", "!read", "image.nii"), ("--flair", READ, "image.nii"),
                   ("--subject", NAME, "one"), ("--brain-mask", READ, "image.nii"),
                   ("--segmentation", READ, "image.nii"),
                   ("--segmentation-table", READ, "table.tsv"),
                   ("--settings", READ, "settings.json")],
    "metrics": [("", READ, "image.nii.gz"), ("", READ, "image.nii"), ("--mask", READ, "image.nii"),
                ("--data-range", NUMBER, "4"), ("--samples", READ, "image.nii"),
                ("--regions", READ, "image.nii"), ("--names", READ, "table.tsv")],
    "check-method": [("", "!name", "unet"), ("--settings", READ, "settings.json")],
    "predict": [("", READ, "model"), ("", OUT, "out"), ("--t1", READ, "image.nii"),
                ("--flair", READ, "image.nii"), ("--tracer", NAME, "tau"),
                ("--brain-mask", READ, "image.nii"), ("--subject", NAME, "one"),
                ("--age", NUMBER, "70"), ("--steps", WHOLE, "2"), ("--samples", WHOLE, "1"),
                ("--temperature", NUMBER, "1"), ("--seed", WHOLE, "0"), ("--threads", WHOLE, "1")],
    "status": [("", READ, "folder")],
    "export": [("", READ, "model"), ("", OUT, "out.zip"), ("--scores", READ, "table.csv")],
    "derivatives": [("", READ, "folder"), ("", OUT, "out"), ("--model", READ, "model"),
                    ("--packed", READ, "packed"), ("--registered", READ, "folder"),
                    ("--normalized", READ, "folder")],
}  # fmt: skip
#: Options that their commands ask for.
_NEEDED = ("--settings", "--subject", "--cohort", "--method", "--out", "--fold", "--transform",
           "--t1", "--data-range", "--qc", "--bids", "--packed", "--tracer", "--model",
           "--registered", "--normalized", "--row", "--column", "--license")  # fmt: skip
_NAMES = ("", "nope", "../x", "é", "sub-01", "a b", "x" * 300, "01\n02", "-", "None")
_WHOLE = ("-1", "1.5", "nan", "", "x", "99999999999999999999", "-99999999999", "1e3", "0x1")
_NUMBER = ("-1", "0", "nan", "inf", "-inf", "", "x", "1e308", "1e-308", "99999999999999999999")


@dataclass(frozen=True)
class Result:
    """One command line and what became of it."""

    command: str
    words: list[str]
    outcome: str
    said: str

    @property
    def fine(self) -> bool:
        """Whether it is as it must be."""
        return self.outcome.startswith("status ")


def build(folder: Path) -> list[str]:
    """Make the world: usual inputs, and one of every wrong kind; returns the wrong ones' names."""
    session(folder / "bids", "01", "a", PET)
    _text(folder / "bids" / "dataset_description.json", '{"Name": "x", "BIDSVersion": "1.8.0"}')
    write_packed(folder / "packed")
    shutil.copyfile(file_of(study()), folder / "settings.json")
    for name in ("folder", "model", "empty folder"):
        (folder / name).mkdir()
    data = np.random.default_rng(0).integers(0, 99, (9, 8, 7), dtype=np.int16)
    for name in ("image.nii", "image.nii.gz"):
        nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), folder / name)
    whole = json.loads((folder / "settings.json").read_text())
    wrong = {
        "text.nii": "not an image",
        "empty.nii.gz": "",
        "image.gii": "<GIFTI/>",
        "empty.json": "",
        "none.json": "null",
        "object.json": "{}",
        "list.json": "[1, 2]",
        "broken.json": '{"a": ',
        "deep.json": "[" * 100_000,
        "list.yaml": "- a\n- b\n",
        "broken.yaml": "a: [1,\n  b: {",
        "date.yaml": "cohorts: {a: 2020-01-01}\ntracers: .nan\n",
        "nothing.yaml": "",
        "table.tsv": "a\tb\n1\t2\t3\n",
        "table.csv": "a;b\n1;2\n",
        "settings.yaml": "cohorts: 3\n",
    }
    for name, text in wrong.items():
        _text(folder / name, text)
    for number, section in enumerate(("seed", "tracers", "training", "methods", "grid", "ingest")):
        for kind, value in (("lacks", None), ("wrong", [number, {"x": None}]), ("nan", -1)):
            part = {k: v for k, v in whole.items() if k != section}
            if kind != "lacks":
                part[section] = value
            _text(folder / f"{kind}-{section}.json", json.dumps(part))
            wrong[f"{kind}-{section}.json"] = ""
    for name, record in (("packed", "dataset.json"), ("model", "train.json"),
                         ("folder", "status.json")):  # fmt: skip
        for kind in ("object", "list", "none", "broken"):
            there = folder / f"{name}-{kind}"
            shutil.copytree(folder / name, there)
            shutil.copyfile(folder / f"{kind}.json", there / record)
            shutil.copyfile(folder / f"{kind}.json", there / "subjects.json")
            shutil.copyfile(folder / f"{kind}.json", there / "synthesis.json")
            shutil.copyfile(folder / f"{kind}.json", there / "search.json")
            wrong[there.name] = ""
    (folder / "noise.bin").write_bytes(np.random.default_rng(1).bytes(3000))
    rgb = np.zeros((9, 8, 7), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), folder / "rgb.nii")
    nib.save(nib.Nifti1Image(data * 1j, np.eye(4)), folder / "complex.nii")
    nib.save(nib.Nifti1Image(np.full((9, 8, 7), np.nan, np.float32), np.eye(4)), folder / "nan.nii")
    made = ("noise.bin", "rgb.nii", "complex.nii", "nan.nii", "empty folder", "missing", "x" * 300)
    return [*wrong, *made]


def _text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def words_of(command: str, world: Path, wrong: list[str], rng: np.random.Generator) -> list[str]:
    """A command line of wrong and usual arguments."""
    slots = COMMANDS[command]
    must = [i for i, (_, kind, _) in enumerate(slots) if kind.startswith("!")]
    chosen = {int(rng.choice(must))} if must else set()
    chosen |= {int(i) for i in rng.choice(len(slots), int(rng.integers(1, 4)))}
    words: list[str] = []
    for index, (option, kind, usual) in enumerate(slots):
        needed = not option or option in _NEEDED
        if index not in chosen and not needed and rng.random() < 0.7:
            continue
        kind = kind.removeprefix("!")
        value = _value(kind, usual, wrong, rng) if index in chosen else usual
        if kind in (READ, OUT):
            value = str(world / value) if value else value
        words += [
            *([option] if option else []),
            *(value.split(" ") if kind == "frames" else [value]),
        ]
    return words


def _value(kind: str, usual: str, wrong: list[str], rng: np.random.Generator) -> str:
    if kind == OUT:
        options = ["bids", "table.tsv", "table.tsv/out", "x" * 300, "image.nii", "folder.mat"]
    elif kind == "frames":
        options = ["0 99", "1 0", "-1 0", "0.5 1", "a b", "99999999999999999999 0"]
    else:
        options = {READ: wrong, NAME: _NAMES, WHOLE: _WHOLE, NUMBER: _NUMBER}[kind]
    return str(options[int(rng.integers(len(options)))])


def contents(folder: Path) -> dict[str, str]:
    """Name and hash of every file below a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def keep_intact(world: Path) -> None:
    """Keep a copy of the world, from which what a command changes is mended."""
    shutil.copytree(world, _intact(world))


def _intact(world: Path) -> Path:
    return world.with_name(f"{world.name}-intact")


def judge(command: str, words: list[str], world: Path, before: dict[str, str]) -> Result:
    """Run a command line and say what became of it; what it wrote is removed again."""
    out, err = io.StringIO(), io.StringIO()
    failed = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main([command, *words])
        except SystemExit as done:
            status = done.code
        except Exception:
            status, failed = None, traceback.format_exc()
    said = err.getvalue()
    after = contents(world)
    changed = {name for name, digest in before.items() if after.get(name) != digest}
    for name in changed:
        shutil.copyfile(_intact(world) / name, world / name)
    # A table that is named as the place of a table is replaced, as asked.
    asked = {word for word in words if word.endswith((".tsv", ".csv"))}
    changed -= {name for name in changed if str(world / name) in asked}
    new = sorted(after.keys() - before.keys())
    kept = [name for name in new if str(world / name) not in words]
    for name in new:
        (world / name).unlink()
    for folder in sorted(world.glob("out*")):
        shutil.rmtree(folder, ignore_errors=True)
    last = said.strip().splitlines()[-1] if said.strip() else ""
    if failed or "Traceback" in said:
        outcome, last = "TRACEBACK", failed or said
    elif changed:
        outcome, last = "INPUT CHANGED", ", ".join(sorted(changed))
    elif status == 2 and kept:
        outcome, last = "LEFT BEHIND", ", ".join(kept)
    elif status == 2:
        one = re.match(rf"relad {command}: error: .{{8}}", last) is not None
        outcome = "status 2 and one line" if one else "ODD MESSAGE"
    elif status in (0, 1):
        outcome = f"status {status}: done"
    else:
        outcome = f"ODD STATUS {status}"
    return Result(command, words, outcome, last)


def run(world: Path, count: int, seed: int = 0) -> Iterator[Result]:
    """Run ``count`` command lines, every command in turn, in a world that is built first."""
    world.mkdir(parents=True, exist_ok=True)
    wrong = build(world)
    before = contents(world)
    keep_intact(world)
    for number in range(count):
        command = list(COMMANDS)[number % len(COMMANDS)]
        rng = np.random.default_rng([seed, number])
        yield judge(command, words_of(command, world, wrong, rng), world, before)
