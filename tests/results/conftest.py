"""A finished made-up study, shared by the tests of tables and figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.results.study import Study
from tests.helpers.fake_study import FakeStudy


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """Eight people per cohort, all methods evaluated; nobody edits it."""
    fake = FakeStudy(tmp_path_factory.mktemp("study"), subjects=8)
    fake.evaluate_all()
    return fake


@pytest.fixture(scope="session")
def sampled(fake: FakeStudy) -> list[Path]:
    """Metrics of its sampler study."""
    return fake.evaluate_samplings()


@pytest.fixture
def study(fake: FakeStudy) -> Study:
    """Its results as read, to be changed."""
    return fake.read()
