"""Brain masks and label images that other programs left in the derivatives of a BIDS dataset.

Derivatives keep the entities of their source (BIDS 1.10, "Derivatives dataset and pipeline
description"), so that each is given to the T1w that it was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relad.cohort.names import parse

#: Endings of a file's name after its other entities.
MASK, LABELS, TABLE = "desc-brain_mask.nii.gz", "dseg.nii.gz", "dseg.tsv"
#: Entities that tell images of a session apart (BIDS 1.10, anat); all others of a derivative's name
#: tell what was made of one, and pipelines have some of their own.
_APART = {"task", "acq", "ce", "rec", "dir", "run", "echo", "flip", "inv", "mt", "part", "chunk"}
#: Label images by their ``desc``, the first first; then all others.
_PREFERRED = ("aparcaseg", "aseg")


@dataclass
class Derivatives:
    """What there is of each T1w.

    Attributes
    ----------
    masks
        T1w -> its brain mask.
    labels
        T1w -> its label image in the T1w's space, and the table of its names.
    strays
        T1w -> a note, where there are some in its session and none of them is known to be its own.
    """

    masks: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)

    def __ior__(self, other: Derivatives) -> Derivatives:
        self.masks |= other.masks
        self.labels |= other.labels
        self.strays |= other.strays
        return self


def of_session(root: Path, inside: Path, t1ws: Sequence[str]) -> Derivatives:
    """Find what was made of the T1ws of a session.

    Of several masks of one T1w the first by name goes; of label images FreeSurfer's
    ``desc-aparcaseg`` before its ``desc-aseg``, then by name.

    Parameters
    ----------
    root
        Dataset whose folder ``derivatives`` is searched.
    inside
        The session's folder, relative to it.
    t1ws
        Names of the session's images that a T1w may be, or their paths.
    """
    masks = _files(root, inside, MASK)
    tables = {f: table for f in _files(root, inside, LABELS) if (table := _names_of(f, root))}
    labelled = sorted(tables, key=_preference)
    of_masks, of_labels = _owned(masks, t1ws), _owned(labelled, t1ws)
    found = Derivatives(of_masks, {t1w: (file, tables[file]) for t1w, file in of_labels.items()})
    for t1w in t1ws:
        notes = [
            _stray(what, t1w, files, ending)
            for what, files, own, ending in (
                ("brain mask", masks, of_masks, MASK),
                ("label image", labelled, of_labels, LABELS),
            )
            if files and t1w not in own
        ]
        if notes:
            found.strays[t1w] = "; ".join(notes)
    return found


def _files(root: Path, inside: Path, ending: str) -> list[Path]:
    """Images of a session that end so and lie in the space of what they were made of."""
    of = _who("_".join([*inside.parts, ending]))
    files = sorted(root.glob(f"derivatives/*/{inside.parts[0]}/**/anat/*_{ending}"))
    return [f for f in files if _who(f.name) == of and _is_native(parse(f.name)[0])]


def _who(name: str) -> tuple[str | None, str | None]:
    entities = parse(name)[0]
    return entities.get("sub"), entities.get("ses")


def _is_native(entities: dict[str, str]) -> bool:
    return entities.get("space") in (None, "T1w", "orig") and "hemi" not in entities


def _preference(labels: Path) -> tuple[int, Path]:
    desc = parse(labels.name)[0].get("desc", "")
    return _PREFERRED.index(desc) if desc in _PREFERRED else len(_PREFERRED), labels


def _names_of(image: Path, root: Path) -> Path | None:
    """Table of an image's labels: of those nearest above it, the one whose name says most."""
    entities, suffix = parse(image.name)
    derivatives = root / "derivatives"
    for folder in image.relative_to(derivatives).parents:
        tables = [
            (len(theirs), table)
            for table in sorted((derivatives / folder).glob(f"*{TABLE}"))
            for theirs, end in [parse(table.name)]
            if end == suffix
            and theirs.items() <= entities.items()
            # Narrower than inheritance: names of tissues are none of FreeSurfer's regions.
            and theirs.get("desc") == entities.get("desc")
        ]
        if tables:
            return max(tables)[1]
    return None


def _owned(files: Sequence[Path], t1ws: Sequence[str]) -> dict[str, Path]:
    """T1w -> the first of a session's files that was made of it.

    A file that lacks entities is of the only T1w that it fits; a T1w goes before an MP2RAGE's image
    of the same entities.
    """
    owned: dict[str, Path] = {}
    told = {t1w: _which(Path(t1w).name) for t1w in t1ws}
    for file in files:
        which = _which(file.name)
        fitting = [t1w for t1w in t1ws if which <= told[t1w]]
        same = sorted((t for t in fitting if told[t] == which), key=lambda t: "_T1w." not in t)
        if same or len(fitting) == 1:
            owned.setdefault((same or fitting)[0], file)
    return owned


def _which(name: str) -> set[tuple[str, str]]:
    """Entities of a name that tell which of a session's images it, or its source, is."""
    entities = parse(name)[0].items()
    return {(k, v.lstrip("0") if v.isdigit() else v) for k, v in entities if k in _APART}


def _stray(what: str, t1w: str, files: Sequence[Path], ending: str) -> str:
    """Say that none of the files that there are is known to be of a T1w."""
    names = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
    stem = Path(t1w).name.rpartition("_")[0]
    return (
        f"no {what} of derivatives was used: none is named as made of this T1w ({names}); "
        f"name its own {stem}_{ending}"
    )
