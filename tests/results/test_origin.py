"""What a table or figure says of itself, by its record."""

from __future__ import annotations

import pytest

from relad.results import origin
from relad.status import Kind


@pytest.mark.parametrize(
    ("kind", "name", "forms"),
    [("table", "ranks", ("csv", "tex", "md")), ("figure", "ranks", ("png", "pdf", "txt"))],
)
def test_it_tells_its_forms_and_its_caption_apart_from_its_note(
    fake, tmp_path, kind, name, forms
) -> None:
    assert fake.summarize(f"{kind}s", tmp_path, "--only", name) == 0
    made = origin.read(tmp_path / f"{name}.{forms[0]}")
    assert made.forms == [tmp_path / f"{name}.{form}" for form in forms]
    assert made.product == made.forms[0]
    note, caption = made.caption
    assert note == Kind.SIMULATED.note
    assert caption.startswith(made.result.title) and caption.endswith(".") and "|" not in caption
