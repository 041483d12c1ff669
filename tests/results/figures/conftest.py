"""Figures are drawn as they are written, and closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib import pyplot as plt

from relad.results.figures import style


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with style.applied():
        yield
    plt.close("all")
