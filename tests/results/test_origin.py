"""What a table or figure says of itself, by its record."""

from __future__ import annotations

import html

import pytest

from relad.errors import ReladError
from relad.fileio import read_json, write_json
from relad.results import origin
from relad.results.hashed import mentioned, mentions, told
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


def test_a_table_that_was_changed_or_whose_files_were_is_not_shown(fake, tmp_path) -> None:
    """By `relad explain` the files alone are asked for: it tells which cell was changed."""
    own = fake.copy(tmp_path / "own")
    tables = own.root / "results/tables"
    assert own.summarize("tables", tables, "--only", "main") == 0
    file = tables / "main.csv"
    assert [made.forms for made in origin.read_unchanged([file])] == [origin.read(file).forms]
    for spoilt, by_itself in (
        (file, True),
        (tables / "main.tex", True),
        (own.metrics("study", "unet"), False),
    ):
        before = spoilt.read_bytes()
        spoilt.write_bytes(before + b" ")
        told = rf"{spoilt.name}: has changed since -- make main again: relad tables"
        with pytest.raises(ReladError, match=told):
            origin.read_unchanged([file])
        if by_itself:
            origin.read(file).require_unchanged()
        spoilt.write_bytes(before)
    (tables / "main.md").unlink()
    with pytest.raises(ReladError, match=r"main\.md: has vanished since"):
        origin.read_unchanged([file])


def test_a_record_of_another_tables_forms_is_none(fake, tmp_path) -> None:
    assert fake.summarize("tables", tmp_path, "--only", "ranks") == 0
    record = read_json(tmp_path / "ranks.table.json")
    write_json(tmp_path / "ranks.table.json", record | {"made": record["made"][:2]})
    with pytest.raises(ReladError, match="not the forms of ranks"):
        origin.read(tmp_path / "ranks.csv")


def test_what_a_text_mentions_is_read_as_it_was_written(tmp_path) -> None:
    """Whatever the folder is called, and however the rest of the text is encoded."""
    file = tmp_path / "a & b's" / "main.csv"
    file.parent.mkdir()
    file.write_text("1")
    (words,) = mentions([file], tmp_path)
    (tmp_path / "page.html").write_text(f"<!-- {html.escape(words)} -->\n<p>% made of it</p>\n")
    (tmp_path / "numbers.tex").write_bytes(f"% {words}\n% Müller\n".encode("latin-1"))
    for text in ("page.html", "numbers.tex"):
        (made,) = mentioned(tmp_path / text)
        assert (made.path, made.changed("")) == (file, None)
        assert made.sha256 == told([file], tmp_path)[0]["sha256"]
