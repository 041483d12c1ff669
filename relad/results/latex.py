"""Text as LaTeX sets it."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
}
#: Code pages of the letters and signs that pdflatex sets as they stand, with T1 and its companion.
_KNOWN = ("cp1252", "iso8859_2", "iso8859_9")
#: How Unicode's raised and lowered characters are told from those that they stand for.
_SHIFTED = {"<super>": "textsuperscript", "<sub>": "textsubscript"}
#: Greek letters that LaTeX has; the others look like Latin ones.
_GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
    *("lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi"),
    *("omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi"),
    "Omega",
}


def escaped_tex(text: str) -> str:
    """Text with what LaTeX would read as commands escaped.

    Greek letters and raised or lowered digits become commands; in place of a character that
    pdflatex does not have stands its number, ``[U+6F22]``. What it begins with is no option of a
    command before it, as ``[`` and ``*`` would be at the beginning of a table's row.
    """
    told = "".join(_set(c) for c in unicodedata.normalize("NFC", text))
    return f"{{{told[0]}}}{told[1:]}" if told.startswith(("[", "*")) else told


def _set(c: str) -> str:
    """One character."""
    if c.isascii():
        return _COMMANDS.get(c, c)
    for page in _KNOWN:
        with suppress(UnicodeEncodeError):
            c.encode(page)
            return c
    kind, _, point = unicodedata.decomposition(c).partition(" ")
    if kind in _SHIFTED and " " not in point:
        return rf"\{_SHIFTED[kind]}{{{_set(chr(int(point, 16)))}}}"
    greek = re.fullmatch("GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)", unicodedata.name(c, ""))
    if greek:
        name = greek[2].lower().replace("lamda", "lambda")  # Unicode's spelling
        name = name.capitalize() if greek[1] == "CAPITAL" else name
        if name in _GREEK:
            return rf"\ensuremath{{\{name}}}"
    return f"[U+{ord(c):04X}]"
