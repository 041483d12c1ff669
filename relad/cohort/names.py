"""Names of BIDS, read by the plan of a study too: of the standard library alone."""

from __future__ import annotations

import re

#: A label, in which BIDS takes a plus sign since 1.10.
LABEL = r"[a-zA-Z0-9+]+"
#: One entity of a name.
_ENTITY = re.compile(rf"([a-z0-9]+)-({LABEL})")
_EXTENSION = re.compile(r"(?i)(\.nii\.gz|\.[^.]*)$")


def parse(name: str) -> tuple[dict[str, str], str]:
    """Entities and suffix of a file name: ``sub-01_run-2_T1w.nii.gz`` -> ({sub, run}, T1w)."""
    *parts, suffix = _parts(name)
    matches = (_ENTITY.fullmatch(part) for part in parts)
    return {m[1]: m[2] for m in matches if m}, suffix


def strange(name: str) -> list[str]:
    """Parts of a file name that are no entities of BIDS, such as ``ses-2018-01-01``."""
    return [part for part in _parts(name)[:-1] if not _ENTITY.fullmatch(part)]


def _parts(name: str) -> list[str]:
    return _EXTENSION.sub("", name).split("_")
