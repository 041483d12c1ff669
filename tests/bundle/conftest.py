from __future__ import annotations

from pathlib import Path

import pytest

from relad.bundle.writing import export
from tests.helpers.trainings import train


@pytest.fixture(scope="session")
def model(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained diffusion model; read only."""
    folder = tmp_path_factory.mktemp("models") / "rela"
    assert train(packed, folder, "rela") == 0
    return folder


@pytest.fixture(scope="session")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a bundle; read only."""
    file = tmp_path_factory.mktemp("bundles") / "rela.zip"
    export(model, file, license_="CC0-1.0")
    return file
