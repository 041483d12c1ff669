"""What was found of a machine, in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a finding matters."""

    OK = "ok"
    NOTE = "note"
    LACK = "LACK"


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes
    ----------
    about
        The question, in a word or two.
    level
        Whether it matters.
    what
        In plain words.
    remedy
        What to do; empty where nothing need be.
    """

    about: str
    level: Level
    what: str
    remedy: str = ""
