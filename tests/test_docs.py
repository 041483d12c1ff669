"""What the README and CONTRIBUTING tell people to type exists and is accepted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relad import __version__
from relad.cli import STEPS
from relad.study.paths import REPOSITORY
from tests.helpers.heads import empty_heads

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "results/README.md", "CHANGELOG.md")
DOCUMENTS += ("docs/study/README.md",)
DOCUMENTS += tuple(sorted(f"docs/{file.name}" for file in (REPOSITORY / "docs").glob("*.md")))


def text(document: str) -> str:
    """Text of a file of the repository, without comments in HTML."""
    found = (REPOSITORY / document).read_text(encoding="utf-8")
    return re.sub(r"<!--.*?-->", "", found, flags=re.DOTALL)


def commands(program: str) -> list[str]:
    """Lines of shell blocks, continued lines joined, that run ``program``."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", text(document), re.DOTALL | re.M):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"\s#.*", "", line).strip()
                if line.split(" ")[0] == program:
                    found.append(line)
    assert found, f"no document shows a command of {program}"
    return sorted(set(found))


@pytest.mark.parametrize("line", commands("make"))
def test_make_targets_exist(line: str) -> None:
    targets = [word for word in line.split()[1:] if "=" not in word]
    makefile = text("Makefile")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("line", commands("snakemake"))
def test_snakemake_commands_plan(line: str, tmp_path: Path, installed: Path) -> None:
    # The reader's own study stands here for the small one; --use-conda needs conda even to plan.
    small = shlex.quote(str(REPOSITORY / "config" / "test.yaml"))
    line = re.sub(r"config/(my-study|test)\.yaml", lambda _: small, line).replace("--use-conda", "")
    empty_heads(tmp_path / "heads")  # config/hybrid.yaml wants them there
    line = re.sub(
        r"config/hybrid\.yaml|workflow/profiles/\w+",
        lambda m: shlex.quote(str(REPOSITORY / m[0])),
        line,
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", *shlex.split(line), "--dry-run"),
            *("--snakefile", str(REPOSITORY / "workflow" / "Snakefile")),
            *("--directory", str(tmp_path)),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", commands("relad"))
def test_relad_commands_name_steps(line: str) -> None:
    words = shlex.split(line)
    assert words[1] in STEPS or words[1] in ("--help", "--version")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_files_exist(document: str) -> None:
    folder = (REPOSITORY / document).parent
    for target in re.findall(r"\]\(([^)#]+)\)", text(document)):
        if not target.startswith("http"):
            assert (folder / target).exists(), target
    for name in re.findall(
        r"`((?:config|workflow|envs|relad|baselines|tests)/[\w./-]+)`", text(document)
    ):
        assert (REPOSITORY / name).exists() or "my" in name, name


def test_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load(text("CITATION.cff"))["version"] == __version__
    assert f"## {__version__}" in text("CHANGELOG.md")


def test_lock_holds_every_direct_requirement() -> None:
    def names(file: str) -> set[str]:
        lines = [line.partition("#")[0].strip() for line in text(file).splitlines()]
        return {re.split(r"[<>=!~;\[]", line)[0].strip().lower() for line in lines if line}

    assert names("requirements.txt") <= names("requirements.lock.txt")
    pins = [line for line in text("requirements.lock.txt").splitlines() if line[:1] not in "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
