"""A folder of people's heads: who is in it and which files are theirs; standard library only.

Files are named as NiChart names them:

  participants.csv             columns MRID, Age (years) and Sex (M, F or empty)
  <MRID>_T1.nii.gz             T1w
  <MRID>_T1_DLMUSE.nii.gz      labels of MUSE on its grid; or, where labels.tsv is there,
  <MRID>_T1_labels.nii.gz      labels that labels.tsv describes (:mod:`relad.cohort.phantom.labels`)
  <MRID>_FL.nii.gz             T2-FLAIR, on a grid and in a pose of its own
  <MRID>_FL_DLWMLS.nii.gz      white-matter hyperintensities on its grid

The last two go together: without either, a person has no FLAIR. With one of them alone, what the
FLAIR shows and what is simulated would contradict each other, and it is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relad.errors import ReladError
from relad.fileio import read_table

PEOPLE, LABELS = "participants.csv", "labels.tsv"
#: Site of the identifiers where the configuration names none.
SITE = 900


@dataclass(frozen=True)
class Person:
    """One person: ``name`` is the person's own id, ``ptid`` the one in the study."""

    name: str
    ptid: str
    age: float
    sex: str
    t1w: Path
    labels: Path
    flair: Path | None
    lesions: Path | None
    table: Path | None


def ptid_of(name: str, site: int) -> str:
    """Identifier in ADNI's form that depends on the site and on the person's own id alone."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10**6
    return f"{site:03d}_S_{number:06d}"


def people(folder: Path, site: int) -> list[Person]:
    """Everybody in a folder, sorted by the person's own id.

    Raises
    ------
    ReladError
        Where the list or a file is missing, or says what cannot be.
    """
    table = folder / PEOPLE
    if not folder.is_dir():
        raise ReladError(
            "no such folder of heads",
            file=folder,
            hint=f"make it, or a link of this name, with {PEOPLE} in it",
        )
    rows = read_table(table)
    if not rows:
        raise ReladError("lists nobody", file=table)
    found: dict[str, Person] = {}
    for row in rows:
        cells = {(key or "").strip().lower(): value for key, value in row.items()}
        missing = [name for name in ("mrid", "age", "sex") if name not in cells]
        if missing:
            raise ReladError(
                f"has no column {' and '.join(missing)}", file=table, hint="columns: MRID, Age, Sex"
            )
        person = _person(folder, site, cells)
        if person.ptid in found:
            other = found[person.ptid].name
            what = f"{other!r} and {person.name!r} would have one identifier, {person.ptid}"
            if other == person.name:
                what = f"lists {other} twice"
            raise ReladError(what, file=table, hint="rename one of them")
        found[person.ptid] = person
    return sorted(found.values(), key=lambda person: person.name)


def _person(folder: Path, site: int, cells: dict[str, str | None]) -> Person:
    table = folder / PEOPLE
    name = (cells["mrid"] or "").strip()
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ReladError(
            f"{name!r} is not a person's id that file names can begin with", file=table
        )
    try:
        age = float(cells["age"] or "")
    except ValueError:
        age = 0.0
    if not 1 <= age <= 120:
        raise ReladError(
            f"the age of {name} is {cells['age'] or 'not given'}, not a number of years",
            file=table,
            hint="give it, or take the person out",
        )
    sex = (cells["sex"] or "").strip().upper()
    if sex not in ("M", "F", ""):
        raise ReladError(f"the sex of {name} is {sex}, not M, F or nothing", file=table)
    described = (folder / LABELS).is_file()
    t1w = folder / f"{name}_T1.nii.gz"
    labels = folder / f"{name}_T1_{'labels' if described else 'DLMUSE'}.nii.gz"
    flair, lesions = folder / f"{name}_FL.nii.gz", folder / f"{name}_FL_DLWMLS.nii.gz"
    needed = {t1w: "", labels: ""}
    has_flair = flair.exists() or lesions.exists()
    if has_flair:
        needed[flair] = ", though there are its hyperintensities"
        needed[lesions] = ", though there is its FLAIR"
    for file, though in needed.items():
        if not file.is_file():
            raise ReladError(
                f"no such file{though}", file=file, hint=f"give it, or take {name} out of {PEOPLE}"
            )
    return Person(
        name=name,
        ptid=ptid_of(name, site),
        age=age,
        sex=sex,
        t1w=t1w,
        labels=labels,
        flair=flair if has_flair else None,
        lesions=lesions if has_flair else None,
        table=folder / LABELS if described else None,
    )


def files(folder: Path, everybody: Sequence[Person]) -> list[Path]:
    """Every file of a folder that the scans of :func:`people` are made of."""
    own = [f for p in everybody for f in (p.table, p.t1w, p.labels, p.flair, p.lesions)]
    return list(dict.fromkeys(file for file in (folder / PEOPLE, *own) if file is not None))
