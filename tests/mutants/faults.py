"""The faults of faults.yaml, and how one is planted into a copy of the sources."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from relad.errors import ReladError
from relad.study.paths import REPOSITORY

FILE = Path(__file__).with_name("faults.yaml")

#: Files, beside the tests that a fault names, by which its outcome may change.
RELEVANT = (
    "relad/**/*.py",
    "relad/**/*.nii.gz",
    "baselines/**/*.py",
    "config/**/*.yaml",
    "workflow/**/*.smk",
    "workflow/relad.py",
    "workflow/schemas/*.yaml",
    "tests/conftest.py",
    "tests/helpers/*.py",
    "pyproject.toml",
)


@dataclass(frozen=True)
class Fault:
    """One mistake that somebody could make.

    Attributes
    ----------
    name, kind
        What goes wrong, and what part of the project it belongs to.
    file
        Path below the repository.
    old, new
        Text that stands in the file exactly once, and what takes its place.
    tests
        Test files or node ids that should notice, the likeliest first.
    """

    name: str
    kind: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def plant(self, root: Path) -> None:
        """Make the mistake in the copy of the sources below ``root``.

        Raises
        ------
        ReladError
            Where the text to replace does not stand there exactly once, or a module that is
            no Python comes of it.
        """
        file = root / self.file
        if not file.is_file():
            raise ReladError(f"fault {self.name!r}: no such file", file=self.file)
        text = file.read_text(encoding="utf-8")
        if (times := text.count(self.old)) != 1:
            raise ReladError(
                f"fault {self.name!r}: {self.old!r} stands {times} times in it, not once",
                file=self.file,
                hint=f"follow the change in {FILE.name}",
            )
        spoilt = text.replace(self.old, self.new)
        try:
            if file.suffix == ".py":  # the rules are Snakemake's
                ast.parse(spoilt)
        except SyntaxError as error:
            raise ReladError(
                f"fault {self.name!r}: leaves no Python ({error})", file=self.file
            ) from None
        file.write_text(spoilt, encoding="utf-8")

    def fingerprint(self, root: Path) -> str:
        """Hash of this fault and of the files on which its outcome depends."""
        found = {file for pattern in RELEVANT for file in root.glob(pattern)}
        for test in self.tests:
            path = root / test.partition("::")[0]
            found |= {path} if path.is_file() else set(path.rglob("*.py"))
        digest = hashlib.sha256(json.dumps(asdict(self)).encode())
        for file in sorted(found):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()


def load(file: Path = FILE) -> list[Fault]:
    """All faults; ``file`` and ``tests`` of a kind hold for its faults that name none of their own.

    Raises
    ------
    ReladError
        Where a name stands twice, or a fault changes nothing.
    """
    faults: dict[str, Fault] = {}
    for kind, part in yaml.safe_load(file.read_text(encoding="utf-8")).items():
        usual = {key: part[key] for key in ("file", "tests") if key in part}
        for name, entry in part["faults"].items():
            whole = {**usual, **entry}
            whole["tests"] = tuple(whole["tests"])
            fault = Fault(name=name, kind=kind, **whole)
            if name in faults:
                raise ReladError(f"fault {name!r} stands twice", file=file)
            if fault.old == fault.new:
                raise ReladError(f"fault {name!r} changes nothing", file=file)
            faults[name] = fault
    return list(faults.values())


def copy_sources(root: Path) -> None:
    """Copy what git knows of the repository, or would add, to ``root``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():  # git also lists what was just removed
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, root / name)
