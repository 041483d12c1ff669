from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import predictions


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, models of it, and a person's scans; read only."""
    root = tmp_path_factory.mktemp("predict")
    cohort = predictions.write_cohort(root / "packed")
    predictions.write_model(root / "rela", cohort)
    predictions.write_model(root / "t1w-only", cohort, "unet", inputs=["T1w"])
    no_tspo = predictions.write_cohort(root / "packed-no-tspo", only=("tau", "amyloid"))
    predictions.write_model(root / "no-tspo", no_tspo, "template")
    (root / "scans").mkdir()
    predictions.write_scans(root / "scans")
    return root
