"""What the paper cites: every entry of ``references.bib.j2`` says what brings it into the text."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATE = "references.bib.j2"

#: Part of the study -> name in the templates -> key.
CITED = {
    "registration": {
        "bids": "gorgolewski2016bids",
        "n4": "tustison2010n4",
        "syn": "avants2008syn",
        "deepbet": "fisch2024deepbet",
    },
    "grid": {"mni": "fonov2011mni"},
    "statistics": {
        "wilcoxon": "wilcoxon1945",
        "holm": "holm1979",
        "hodges_lehmann": "hodges1963",
        "rank_biserial": "kerby2014",
        "equivalence": "schuirmann1987",
        "efficiency": "hodges1956",
        "ranks": "wiesenfarth2021",
        "readers": "obuchowski1995",
    },
    "workflow": {"snakemake": "molder2021snakemake"},
}


def keys_of(user: str) -> list[str]:
    """Keys of what a module or a metric brings in, in the order of the file."""
    text = Path(__file__).with_name(TEMPLATE).read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),.*usedby = \{([^}]*)\}\}$", text, flags=re.MULTILINE)
    return [key for key, users in entries if user in re.split(r",\s*", users)]
