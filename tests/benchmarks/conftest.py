"""A model with validation people, for what measures trained models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.trainings import settings, train


@pytest.fixture(scope="session")
def validated(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RelA-Diffusion, trained for a moment on fold 0 of the toy cohort; read only."""
    out = tmp_path_factory.mktemp("models") / "rela"
    part = settings(validation={"subjects": 1, "every": 6, "steps": 1})
    assert train(packed, out, "rela", part) == 0
    return out
