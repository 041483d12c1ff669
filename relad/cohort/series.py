"""Which series is what, told by its description: T1w, FLAIR or PET, of which product and tracer.

The rules are a table of the configuration (``config/series.yaml``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relad.errors import DataError, ReladError
from relad.study.settings import Tracer

#: Kinds of images that are used; the suffix of their BIDS names, but for PET's.
KINDS = ("T1w", "FLAIR", "PET")
_MODALITIES = {"MRI": "MRI", "MR": "MRI", "PET": "PET", "PT": "PET"}


#: "+C" (at a word's end too), "C+", "(C)", "i.v." and the like, which would lose their signs.
_WITH_AGENT = re.compile(
    r"(?:\+ ?(?:c|gd|km|iv)|(?<![a-z0-9])(?:c|gd|km|iv) ?\+|(?<![a-z0-9])i\.v\b\.?)(?![a-z0-9])"
    r"|\((?:c|gd|km|iv)\)"
)
#: "C-" at a word's end.
_WITHOUT_AGENT = re.compile(r"(?<![a-z0-9])(?:c|gd|km|iv)-(?=\s|$)")


def plain(text: str) -> str:
    """Lower case; every run of characters other than letters and digits becomes one space.

    ``+C``, ``C+``, ``(C)`` (``Gd``, ``KM``, ``IV`` likewise) and ``i.v.`` are read as ``contrast``,
    ``C-`` as ``native``.
    """
    text = _WITH_AGENT.sub(" contrast ", text.lower().replace("_", " "))
    return re.sub(r"[\W_]+", " ", _WITHOUT_AGENT.sub(" native ", text)).strip()


@dataclass(frozen=True)
class Product:
    """A product in which a PET scan may have been downloaded; ``rank`` 0 is preferred."""

    name: str
    rank: int
    averaged: bool


class SeriesTable:
    """The rules of ``config/series.yaml``.

    Parameters
    ----------
    table
        ``{rules: [...], pet_products: [...]}``, checked against the schema.

    Raises
    ------
    ReladError
        Where a pattern is no regular expression.
    """

    def __init__(self, table: Mapping[str, Sequence[Mapping[str, Any]]]):
        try:
            self._rules = [
                (rule.get("modality"), re.compile(rule["pattern"]), rule["kind"], rule.get("why"))
                for rule in table["rules"]
            ]
            self._products = [
                (re.compile(p["pattern"]), Product(p["name"], rank, p["averaged"]))
                for rank, p in enumerate(table["pet_products"])
            ]
        except re.error as error:
            raise ReladError(
                f"{error.pattern!r} is no regular expression ({error})",
                hint="mend it in the study's ingest.series",
            ) from None

    def kind_of(self, modality: str, description: str) -> str:
        """T1w, FLAIR or PET.

        Raises
        ------
        DataError
            Where the image is none of these; the message is the reason.
        """
        known = _MODALITIES.get(modality.strip().upper())
        if known is None:
            raise DataError(f"modality {modality or 'unknown'} is not used")
        text = plain(description)
        for rule_modality, pattern, kind, why in self._rules:
            if rule_modality in (None, known) and pattern.search(text):
                if kind == "none":
                    raise DataError(f"not used: {description!r}" + (f" ({why})" if why else ""))
                return kind
        if known == "PET":
            return "PET"
        raise DataError(f"not used: {description!r} is neither a T1w nor a FLAIR")

    def refusal(self, modality: str, text: str) -> str | None:
        """Why a rule forbids to use what ``text`` names; None where no rule does."""
        try:
            self.kind_of(modality, text)
        except DataError as error:
            return None if error.what.endswith("neither a T1w nor a FLAIR") else error.what
        return None

    def contradiction(self, modality: str, description: str, kind: str) -> str | None:
        """Why a header's own description forbids to take an image for what it was listed as.

        None where it tells the same, or nothing that a rule knows.
        """
        try:
            told = self.kind_of(modality, description)
        except DataError as error:
            refused = error.what.startswith("not used") and error.what.endswith(")")
            return f"{error.what}, as its header describes it" if refused else None
        if told == kind:
            return None
        return f"is listed as a {kind}, but its header describes it as {description!r}, a {told}"

    def product_of(self, description: str) -> Product:
        """Product of a PET by its description; the first of the table where no pattern is in it."""
        text = plain(description)
        fitting = [product for pattern, product in self._products if pattern.search(text)]
        return fitting[-1] if fitting else self._products[0][1]


#: Nothing of a longer name stands before it; a radionuclide may, in one word (``18FAV45``).
_BEFORE_LETTERS = r"(?:(?<![a-z])|(?<=(?<!\d)18f)|(?<=(?<!\d)11c))"


def _spelling(name: str) -> re.Pattern[str]:
    """A tracer's name as descriptions spell it: ``AV1451`` also as ``AV-1451`` or ``18F_AV 1451``.

    A name inside a longer one does not count: ``PBR`` is not found in ``PBR28``.
    """
    parts = re.findall(r"[a-z]+|\d+", name.lower())
    before = _BEFORE_LETTERS if parts[0].isalpha() else r"(?<!\d)"
    return re.compile(before + r"[\W_]*".join(parts) + r"(?![a-z0-9])")


#: Ligands whose names hold that of another: PiB with fluorine is flutemetamol, with a nitrile group
#: (6-CN-PiB) another one yet; PBR06 is no PBR28.
_LONGER = re.compile(
    r"(?:18[\W_]*f|f[\W_]*18|(?<![a-z0-9])f|(?<![a-z])cn)[])}^\s_-]*pib"
    r"|pbr[\W_]*(?:06|99|102|111|146|170)(?!\d)"
)


def tracers_in(text: str, tracers: Mapping[str, Tracer]) -> list[str]:
    """Ids of the configured tracers whose ligand or alias ``text`` names."""
    whole = text.lower()
    less = _LONGER.sub(" ", whole)

    def named(name: str) -> bool:
        held = whole if _LONGER.search(name.lower()) else less
        return _spelling(name).search(held) is not None

    return [
        tracer
        for tracer, entry in tracers.items()
        if any(map(named, (entry.ligand, *entry.aliases)))
    ]


def modality_of(told: Mapping[str, Any], description: str, tracers: Mapping[str, Tracer]) -> str:
    """Modality that a header or sidecar states; else PET where a description names a tracer."""
    return str(told.get("Modality") or "") or ("PET" if tracers_in(description, tracers) else "MRI")


def tracer_of(description: str, header: str, tracers: Mapping[str, Tracer]) -> str:
    """Tracer id of a PET, by its description, else by the radiopharmaceutical in its header.

    The description goes first, since scanners' consoles often keep a default radiopharmaceutical;
    a header that names another configured tracer is a contradiction nevertheless.

    Raises
    ------
    DataError
        Where no tracer or more than one fits; the message is the reason.
    """
    described, stated = tracers_in(description, tracers), tracers_in(header, tracers)
    fitting = described or stated
    if not fitting:
        named = f"description {description!r}, header {header or 'unknown'!r}"
        raise DataError(f"no window for its tracer ({named})")
    if len(fitting) > 1:
        raise DataError(f"names more than one tracer ({', '.join(fitting)})")
    if stated and fitting[0] not in stated:
        raise DataError(
            f"the description names {fitting[0]}, but the header {header!r} names "
            f"{', '.join(stated)}"
        )
    return fitting[0]
