"""docs/configuration.md says what the schemas say."""

from __future__ import annotations

import re

from relad.study import reference
from relad.study.config import read_schema
from relad.study.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "configuration.md"


def test_the_page_is_that_of_the_schemas() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), "run `make docs`"


def test_every_key_has_a_line_that_says_what_it_is_for() -> None:
    for name in reference.SCHEMAS:
        schema = read_schema(name)
        for key, part, _ in reference.keys(schema, schema):
            assert f"`{key}`" in reference.page(), key
            assert "description" in part or "properties" in part or "$ref" in part, key


def test_a_default_and_its_unit_are_told() -> None:
    (line,) = re.findall(r"^\| `ingest.max_gap_days`.*$", reference.page(), re.MULTILINE)
    schema = read_schema("config")["properties"]["ingest"]["properties"]["max_gap_days"]
    assert f"| `{schema['default']}` |" in line and "days" in line
