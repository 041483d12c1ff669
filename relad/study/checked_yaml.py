"""YAML as it was meant: what a file's reader would take for something else is an error.

Of a key that stands twice PyYAML keeps the last, and it reads numbers by the rules of YAML 1.1,
which few know: ``0400`` is 256 to it, ``6:40`` is 400, and ``4e2`` a text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_POWER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TEXT = "tag:yaml.org,2002:str"


class MisreadError(yaml.MarkedYAMLError):
    """What would be read as something else: ``problem`` says what, ``note`` what to write."""


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with these checks before anything is made of what it read."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            before = first.setdefault((key.tag, key.value), key)
            if before is not key:
                raise MisreadError(
                    problem=f"the key {key.value!r} stands here a second time, first in line "
                    f"{before.start_mark.line + 1}",
                    problem_mark=key.start_mark,
                    note="keep one",
                )
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        node = super().compose_node(parent, index)
        # A time of day in ingest.overrides may stand without quotes.
        of_override = isinstance(index, yaml.ScalarNode) and index.value == "value"
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            _check(node, clock_taken=of_override)
        return node


def _check(node: yaml.ScalarNode, *, clock_taken: bool) -> None:
    """Refuse a number that YAML 1.1 and 1.2 read differently."""
    text = node.value
    if node.tag in _NUMBERS and ":" in text and not clock_taken:
        taken, meant = "number of base 60", ""
    elif node.tag in _NUMBERS and _OCTAL.fullmatch(text):
        taken, meant = "number of base 8", re.sub(r"^([-+]?)[0_]+(?=\d)", r"\1", text)
    elif node.tag == _TEXT and _POWER.fullmatch(text):
        taken, meant = "text", _plain(float(text))
    else:
        return
    raise MisreadError(
        problem=f"{text} is read as a {taken}",
        problem_mark=node.start_mark,
        note="write " + (f"{meant} for the number, " if meant else "") + f'"{text}" for the text',
    )


def _plain(number: float) -> str:
    """A number as YAML 1.1 reads it: with a point before its power of ten."""
    mantissa, power, exponent = repr(number).partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{power}{exponent}"
