"""Which of the project's files a step's code consists of, found by following its imports.

Snakemake does not notice an edited module. A hash of these files among a rule's parameters makes
it run again what an edit may have changed, and nothing else: a plot's code is not part of training,
one baseline's file not of another's. Standard library only, since the Snakefile imports it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from relad.errors import ReladError
from relad.study.paths import REPOSITORY

PACKAGES = ("relad", "baselines")

#: Modules that find files and settings but compute nothing: what they decide stands in a job's
#: command line already, and without this exception every new step would retrain every method.
PLUMBING = frozenset(
    {"relad", "relad.cli", "relad.errors", "relad.steps", "relad.study"}
    | {f"relad.study.{name}" for name in ("config", "fingerprints", "paths", "provenance")}
)


def file_of(module: str, root: Path = REPOSITORY) -> Path | None:
    """Source file of a module of this project; None for a name that is no module of it."""
    if module.partition(".")[0] not in PACKAGES:
        return None
    stem = root.joinpath(*module.split("."))
    candidates = (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


@cache
def _imported(module: str, file: Path) -> tuple[str, ...]:
    """Names that a module imports anywhere, in functions too; some may be functions or classes."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _with_parents(module: str) -> Iterator[str]:
    """Yield a module and the packages it lies in: importing it runs their ``__init__`` too."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def sources(*modules: str, root: Path = REPOSITORY) -> tuple[Path, ...]:
    """List the files of this project that modules reach by imports, :data:`PLUMBING` aside.

    Parameters
    ----------
    modules
        Dotted names; one of another distribution (``monai.networks``) is passed over.
    root
        Folder that holds the packages.

    Raises
    ------
    ReladError
        Where a module of this project has no file.
    """
    for module in modules:
        if module.partition(".")[0] in PACKAGES and file_of(module, root) is None:
            raise ReladError(f"there is no module {module}", file=root)
    found: dict[str, Path] = {}
    queue = list(modules)
    while queue:
        for name in _with_parents(queue.pop()):
            file = file_of(name, root)
            if file is not None and name not in found and name not in PLUMBING:
                found[name] = file
                queue += _imported(name, file)
    return tuple(sorted(found.values()))
