"""Which files a step's code consists of, found by following its imports, and their hash.

Snakemake does not notice an edited module. A hash of these files among a rule's parameters makes
it run again what an edit may have changed, and nothing else: a plot's code is not part of training,
one baseline's file not of another's. A method of another distribution is followed within its own
package. Standard library only, since the Snakefile imports it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from relad.errors import ReladError
from relad.study.paths import REPOSITORY

PACKAGES = frozenset({"relad", "baselines"})

#: Modules that find files and settings but compute nothing: what they decide stands in a job's
#: settings already, and without this exception every new step would retrain every method.
PLUMBING = frozenset(
    {"relad", "relad.cli", "relad.errors", "relad.steps", "relad.study"}
    | {"relad.bundle", "relad.bundle.opening"}
    | {
        f"relad.study.{name}"
        for name in (
            "catalogue",
            "config",
            "fingerprints",
            "paths",
            "plan",
            "plugins",
            "provenance",
        )
    }
    | {"relad.study.settings", "relad.study.subjects"}
)


#: How an image that a module reads ends, beside it and of its name.
IMAGE = ".nii.gz"

#: Folders in which the packages of everybody lie side by side.
_SHARED = frozenset({"site-packages", "dist-packages"})


@cache
def file_of(module: str, root: Path) -> Path | None:
    """Source file of a module below ``root``; None for a name that is no module there."""
    stem = root.joinpath(*module.split("."))
    candidates = (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def root_of(package: str) -> Path | None:
    """Folder that holds an installed top-level package or module; None where there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # run as a script: __main__ has no spec
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    return Path(places[0]).parent if places else Path(spec.origin or "").parent


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all statements: imports are some, and expressions, most of a tree, hold none."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            queue += getattr(node, part, ())


@cache
def _imported(module: str, file: Path) -> tuple[str, ...]:
    """Names that a module imports anywhere, in functions too; some may be functions or classes."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in _statements(ast.parse(file.read_bytes(), filename=str(file))):
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
    """List the files that modules reach by imports, :data:`PLUMBING` aside.

    Imports are followed within this project, within the packages of ``modules`` themselves, and to
    what lies beside these, unless they are installed among all others (``site-packages``).
    Templates (``*.j2``) count with the modules beside them, an image with the module of its name.

    Parameters
    ----------
    modules
        Dotted names. One of another distribution that is not installed here is passed over: the
        environment of its step has it, and train.json tells which code that was.
    root
        Folder that holds this project's packages.

    Raises
    ------
    ReladError
        Where a module of this project has no file.
    """
    roots = {package: root for package in PACKAGES}
    for module in modules:
        package = module.partition(".")[0]
        if package in PACKAGES and file_of(module, root) is None:
            raise ReladError(f"there is no module {module}", file=root)
        if package not in roots and (place := root_of(package)) is not None:
            roots[package] = place
    found: dict[str, Path] = {}
    queue = list(modules)
    while queue:
        for name in _with_parents(queue.pop()):
            if name in found or name in PLUMBING:
                continue
            place = roots.get(name.partition(".")[0])
            file = file_of(name, place) if place else None
            if file is not None:
                found[name] = file
                imported = _imported(name, file)
                queue += imported
                if place not in (None, root) and place.name not in _SHARED:
                    for package in {each.partition(".")[0] for each in imported} - roots.keys():
                        roots[package] = place  # where it has no file of that name, it adds none
    files = set(found.values())
    beside = {each for file in files for each in file.parent.glob("*.j2")}
    beside |= {image for file in files if (image := file.with_suffix(IMAGE)).is_file()}
    return tuple(sorted(files | beside))


def digest(files: Iterable[Path]) -> str:
    """Hash of files by name and content."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.name.encode())
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


@cache
def fingerprint(*modules: str) -> str:
    """Hash of the code of some modules and of all that they import, see :func:`sources`."""
    return digest(sources(*modules))


@cache
def whole_code() -> str:
    """Hash of all of this project's code."""
    kinds = ("*.py", f"*{IMAGE}")
    files = (f for p in PACKAGES for kind in kinds for f in (REPOSITORY / p).rglob(kind))
    return digest(sorted(files))
