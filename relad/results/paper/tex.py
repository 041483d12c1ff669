"""LaTeX from templates whose marks do not clash with it: ``<< value >>`` and ``<% block %>``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from relad.results.latex import escaped_tex

_HERE = Path(__file__).parent


def filled(template: str, **values: Any) -> str:
    """Fill a template of this folder; text that is put in is escaped."""
    environment = jinja2.Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: escaped_tex(value) if isinstance(value, str) else value,
        loader=jinja2.FileSystemLoader(_HERE),
    )
    return environment.get_template(template).render(**values)


def macro(name: str, value: object) -> str:
    """Define a command without arguments; ``name`` is of letters."""
    return rf"\newcommand{{\{name}}}{{{escaped_tex(str(value))}}}"
