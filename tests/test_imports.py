"""What import-linter does not hold (see pyproject.toml): which packages a part may need at all."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from relad.study.paths import REPOSITORY

STDLIB = set(sys.stdlib_module_names)


def imported(file: Path) -> set[str]:
    """Top-level names of everything a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def files(*patterns: str) -> list[Path]:
    found = sorted({file for pattern in patterns for file in REPOSITORY.glob(pattern)})
    assert found, patterns
    return found


@pytest.mark.parametrize(
    "file",
    files(
        "relad/methods/**/*.py",
        "relad/training/*.py",
        "relad/bundle/*.py",
        "relad/conformance/*.py",
        "relad/compute/*.py",
        "relad/data/*.py",
        "relad/steps/train.py",
        "relad/steps/synthesize.py",
        "relad/steps/check_method.py",
        "baselines/*.py",
    ),
    ids=lambda file: file.relative_to(REPOSITORY).as_posix(),
)
def test_methods_need_only_torch_and_numpy(file: Path) -> None:
    allowed = STDLIB | {"relad", "baselines", "torch", "numpy", "safetensors", "tqdm", "jaxtyping"}
    if file.name == "released_unet.py":  # MONAI's network, imported when it is built
        allowed |= {"monai"}
    assert imported(file) - allowed == set()


def test_snakefile_needs_only_what_snakemake_installs() -> None:
    """What the Snakefile imports of relad needs nothing beyond PyYAML and jsonschema."""
    common = REPOSITORY / "workflow" / "rules" / "common.smk"
    lines = [
        line
        for line in common.read_text(encoding="utf-8").splitlines()
        if line.startswith(("import ", "from "))
    ]
    queue = [
        f"{node.module}.{alias.name}"
        for node in ast.parse("\n".join(lines)).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relad")
        for alias in node.names
    ]
    assert queue
    seen: set[Path] = set()
    while queue:
        name = queue.pop()
        stem = REPOSITORY.joinpath(*name.split("."))
        for file in (stem.with_suffix(".py"), stem.parent.with_suffix(".py")):
            if not file.is_file() or file in seen:
                continue
            seen.add(file)
            assert imported(file) <= STDLIB | {"relad", "yaml", "jsonschema"}, file
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relad"):
                    queue += [f"{node.module}.{alias.name}" for alias in node.names]
    named = {"config.py", "paths.py", "subjects.py", "fingerprints.py", "catalogue.py"}
    assert {file.name for file in seen} >= named
