"""Names of BIDS, read by the plan of a study too: of the standard library alone."""

from __future__ import annotations

import re

#: One entity of a name.
ENTITY = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9]+)")


def parse(name: str) -> tuple[dict[str, str], str]:
    """Entities and suffix of a file name: ``sub-01_run-2_T1w.nii.gz`` -> ({sub, run}, T1w)."""
    *parts, suffix = name.split(".")[0].split("_")
    matches = (ENTITY.fullmatch(part) for part in parts)
    return {m[1]: m[2] for m in matches if m}, suffix
