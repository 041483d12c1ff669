"""Figures as they are embedded: small enough for all of them to fit into one page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from relad.errors import DataError, refuse_machine_failure
from relad.pages import data_address

#: Widths in pixels that are tried, the widest first, until all figures take fewer bytes than this.
WIDTHS = (2160, 1440, 1080, 720)
MOST_BYTES = 6_000_000
_QUALITY = 88


@dataclass(frozen=True)
class Picture:
    """A figure as a ``data:`` address, with its size in pixels."""

    address: str
    width: int
    height: int


def pictures(files: Sequence[Path], most_bytes: int = MOST_BYTES) -> list[Picture]:
    """Embed figures, all as wide as fits.

    Parameters
    ----------
    files
        PNG.
    most_bytes
        For all of them, unless that takes them below the least of :data:`WIDTHS`.

    Raises
    ------
    DataError
        Where one is no picture.
    """
    for width in WIDTHS:
        made = [_webp(file, width) for file in files]
        if sum(len(content) for content, _ in made) <= most_bytes:
            break
    return [Picture(data_address(content, "image/webp"), *size) for content, size in made]


def _webp(file: Path, width: int) -> tuple[bytes, tuple[int, int]]:
    """A figure at most so wide, as WebP, with its size."""
    try:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
    except Exception as error:
        refuse_machine_failure(error, file)
        raise DataError("is no picture", file=file, hint="make the figure again") from None
    if picture.width > width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY)
    return content.getvalue(), picture.size
