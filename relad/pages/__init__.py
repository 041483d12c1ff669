"""What every page shares: how its template is filled, its style, the sorting of its tables.

A page is one file of HTML that needs no network. Its template includes ``base.css.j2`` and, where
tables are sorted, ``sorting.js.j2`` from here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

_HERE = Path(__file__).parent
_MEDIA = {".png": "image/png", ".jpg": "image/jpeg"}


def filled(template: Path, *, filters: dict[str, Callable[..., Any]], **values: Any) -> str:
    """Fill a page's template.

    Parameters
    ----------
    template
        File of the page; what it includes is looked for beside it and here.
    filters
        Of the template, by name, beside Jinja's own.
    **values
        What the template names; one that it names and is not given is an error.

    Returns
    -------
    HTML, what was filled in escaped.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader([template.parent, _HERE]),
    )
    environment.filters.update(filters)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # in the order they are given
    return environment.get_template(template.name).render(**values)


def embedded(file: Path) -> str:
    """A picture as a ``data:`` address."""
    return data_address(file.read_bytes(), _MEDIA[file.suffix])


def data_address(content: bytes, media: str) -> str:
    """Bytes of a media type as a ``data:`` address."""
    return f"data:{media};base64,{base64.b64encode(content).decode()}"
