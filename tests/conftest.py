"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

# One thread each: the suite's small arrays only lose by more, and jobs run side by side.
for variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(variable, "1")

import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# Every call of these is checked against the shapes in its annotations; before their first import.
CHECKED = ("relad.data", "relad.methods", "relad.training", "baselines")
install_import_hook(CHECKED, "beartype.beartype")

from tests.helpers.packages import EXAMPLES, install  # noqa: E402
from tests.helpers.packing import write_packed  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what waits for Snakemake, or for a cluster, longest: it must not begin last."""
    longest = ("test_slurm.py", "test_end_to_end.py")
    items.sort(key=lambda i: (i.path.name not in longest, "workflow" not in i.path.parts))


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed training cohort of six tiny random brains; read only."""
    return write_packed(tmp_path_factory.mktemp("packed") / "toy")


@pytest.fixture(scope="session")
def packed_external(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed external cohort of two tiny random brains; read only."""
    return write_packed(
        tmp_path_factory.mktemp("packed") / "away",
        subjects=2,
        cohort="away",
        role="external",
        seed=1,
    )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path in which the packages below examples/ are installed; read only."""
    return install(*EXAMPLES, into=tmp_path_factory.mktemp("installed"))
