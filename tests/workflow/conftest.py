from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.small_study import Study


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study before anything has run; nobody edits it."""
    return Study.create(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study with all outputs there, of zero bytes, and up to date; nobody edits it."""
    study = Study.create(tmp_path_factory.mktemp("finished"))
    study.fill_with_nothing()
    return study


@pytest.fixture
def study(finished_study: Study, tmp_path: Path) -> Study:
    """A copy of the finished study, to be changed."""
    return finished_study.copy(tmp_path)
