"""docs/configuration.md from the schemas: every key, its values, its default, what it is for.

python -m relad.study.reference docs/configuration.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from relad.fileio import write_text
from relad.study.config import read_schema

#: Schema -> what it is of, in the order of the page.
SCHEMAS = {
    "config": "A study, such as config/config.yaml",
    "methods": "Its methods: the file named by `methods`",
    "ablations": "Its ablations: the file named by `ablations`",
    "search": "What `snakemake tune` searches: the file named by `tuning.space`",
    "tuned": "What it found: the file named by `tuned`",
    "tracers": "Known ligands: config/tracers.yaml",
    "series": "Which series of a download is what: the file named by `ingest.series`",
    "site": "A site's cluster: workflow/profiles/slurm/site.yaml",
}
_HEAD = """# Configuration

<!-- Made from workflow/schemas by `make docs`; edit those. -->

A study is one YAML file, given to Snakemake by `--configfile` and to a single step by `--settings`.
It holds what differs from the defaults below; an unknown key is an error that names it. A dot means
a level: `grid.voxel_mm` is the key `voxel_mm` of the section `grid`; `<name>` stands for a name of
your own, `[]` for the entries of a list. **Bold** keys must be given.
"""


def page() -> str:
    """The whole page, as Markdown."""
    parts = [_HEAD]
    for name, title in SCHEMAS.items():
        schema = read_schema(name)
        parts.append(f"## {title}\n\n{_words(schema['description'])}\n")
        rows = "\n".join(_row(*key) for key in keys(schema, schema))
        parts.append(f"| key | values | default | |\n|---|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def keys(
    schema: Mapping[str, Any], root: Mapping[str, Any], where: str = ""
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield every key below a schema: its place, its own schema, whether it must be given."""
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].removeprefix("#/$defs/")], **schema}
    for name, part in schema.get("properties", {}).items():
        place = f"{where}.{name}".lstrip(".")
        yield place, part, name in schema.get("required", ())
        yield from keys(part, root, place)
    for other in (schema.get("additionalProperties"), *schema.get("oneOf", ())):
        if isinstance(other, dict):
            named = where if other in schema.get("oneOf", ()) else f"{where}.<name>".lstrip(".")
            yield from keys(other, root, named)
    if "items" in schema:
        yield from keys(schema["items"], root, f"{where}[]")


def _row(place: str, schema: Mapping[str, Any], required: bool) -> str:
    name = f"**`{place}`**" if required else f"`{place}`"
    default = f"`{json.dumps(schema['default'])}`" if schema.get("default", {}) != {} else ""
    return f"| {name} | {_values(schema)} | {default} | {_words(schema.get('description', ''))} |"


def _values(schema: Mapping[str, Any]) -> str:
    """What a key may hold, in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("$ref") == "#/$defs/range":
        return "two numbers"
    if schema.get("$ref") == "#/$defs/names":
        return "list of names"
    if "oneOf" in schema:
        return " or ".join(filter(None, map(_values, schema["oneOf"])))
    kind = schema.get("type", "")
    said = " or ".join(kind) if isinstance(kind, list) else {"object": "section"}.get(kind, kind)
    limits = [
        f"{sign} {schema[key]:g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    return " ".join([said, ", ".join(limits)]).strip()


def _words(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


if __name__ == "__main__":
    write_text(sys.argv[1], page())
