"""Text as LaTeX sets it."""

from __future__ import annotations

import pytest

from relad.results.latex import escaped_tex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% of x_0 & {a}", r"50\% of x\_0 \& \{a\}"),
        ("Müller-Łukasz, İzmir, 5 µm²", "Müller-Łukasz, İzmir, 5 µm²"),
        ("Mu\u0308ller", "Müller"),
        ("\u03b2-VAE, \u0394", r"\ensuremath{\beta}-VAE, \ensuremath{\Delta}"),
        ("\u03bb", r"\ensuremath{\lambda}"),
        ("10\u2074, x\u2080", r"10\textsuperscript{4}, x\textsubscript{0}"),
        ("\u207f", r"\textsuperscript{n}"),
        ("a \u6f22 \U0001f9e0 \u0391", "a [U+6F22] [U+1F9E0] [U+0391]"),
        ("\u6f22", "{[}U+6F22]"),
        ("[1, 2]", "{[}1, 2]"),
        ("*best*", "{*}best*"),
    ],
)
def test_every_character_is_one_that_pdflatex_sets(text, expected):
    assert escaped_tex(text) == expected
