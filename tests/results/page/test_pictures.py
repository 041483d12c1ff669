"""Figures are embedded as wide as all of them fit."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relad.errors import DataError
from relad.results.page.pictures import WIDTHS, Picture, pictures


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A figure wider than any is embedded, and a small one."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 2400, 3), dtype=np.uint8)
    shade = np.broadcast_to(np.arange(0, 240, 6, dtype=np.uint8)[None, :, None], (20, 40, 3))
    found = []
    for name, values in (("a", noise), ("b", shade)):
        found.append(tmp_path / f"{name}.png")
        Image.fromarray(np.ascontiguousarray(values)).save(found[-1])
    return found


def content(picture: Picture) -> bytes:
    media, _, text = picture.address.partition(";base64,")
    assert media == "data:image/webp"
    return base64.b64decode(text)


def test_a_figure_is_as_wide_as_it_may_be_and_none_is_enlarged(files):
    wide, small = pictures(files)
    assert (wide.width, wide.height) == (WIDTHS[0], 270) and (small.width, small.height) == (40, 20)
    shown = Image.open(io.BytesIO(content(small))).convert("RGB")
    assert np.abs(np.asarray(shown, int) - np.asarray(Image.open(files[1]), int)).mean() < 3


def test_figures_become_narrower_until_all_fit(files):
    sizes = {width: sum(map(len, map(content, pictures(files, most)))) for width, most in (
        (WIDTHS[0], 10**9), (WIDTHS[-1], 0))}  # fmt: skip
    assert pictures(files, 0)[0].width == WIDTHS[-1], "and no narrower than that"
    between = pictures(files, (sizes[WIDTHS[0]] + sizes[WIDTHS[-1]]) // 2)
    assert between[0].width in WIDTHS[1:-1] and between[1].width == 40


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(DataError, match=r"a\.png: is no picture -- make the figure again"):
        pictures([tmp_path / "a.png"])
