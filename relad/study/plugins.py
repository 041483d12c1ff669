"""Methods of installed packages, found by the entry point group ``relad.methods``.

Nothing of a package is imported here: the Snakefile asks where no package of any step need be.
"""

from __future__ import annotations

from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from relad.errors import ReladError
from relad.study.fingerprints import file_of, root_of

#: An entry point's name is the method's id, its value the class as module:Class.
GROUP = "relad.methods"
#: Beside the module of the class, within a package: id -> what of its entry is not the default.
ENTRIES = "methods.yaml"


def named(name: str) -> EntryPoint:
    """The entry point of a method.

    Raises
    ------
    ReladError
        Where no installed package brings the method, or several do.
    """
    found: defaultdict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        found[point.name].append(point)
    if name not in found:
        raise ReladError(
            f"no installed package brings a method {name!r}",
            hint=f"installed: {', '.join(sorted(found)) or 'none'}; see docs/protocol.md",
        )
    if len(found[name]) > 1:
        raise ReladError(
            f"several packages bring a method {name!r}: {', '.join(bringing(name))}",
            hint="uninstall all but one",
        )
    return found[name][0]


def bringing(name: str) -> list[str]:
    """Installed packages that bring a method of this name."""
    return sorted(map(origin, entry_points(group=GROUP, name=name)))


def origin(point: EntryPoint) -> str:
    """Package and version that an entry point is of."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def entries_beside(point: EntryPoint) -> Path | None:
    """File of the package's own entries; None where it has none."""
    module = point.module
    root = root_of(module.partition(".")[0])
    file = file_of(module, root) if root else None
    if file is None or file.parent == root:  # where the modules of everybody lie
        return None
    entries = file.with_name(ENTRIES)
    return entries if entries.is_file() else None


def of_package(point: EntryPoint) -> list[str]:
    """Ids of all methods of the package that an entry point's class is of."""
    package = point.module.partition(".")[0]
    points = entry_points(group=GROUP)
    return sorted({p.name for p in points if p.module.partition(".")[0] == package})


def distributions(class_: str) -> list[str]:
    """Names of the installed packages that a method's class, as module:Class, is of."""
    package = class_.partition(":")[0].partition(".")[0]
    return sorted(
        {
            point.dist.name
            for point in entry_points(group=GROUP)
            if point.dist and point.module.partition(".")[0] == package
        }
    )
