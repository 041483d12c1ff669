"""Every method of the configuration keeps the protocol; a new entry is examined too."""

from __future__ import annotations

import pytest

from relad.conformance import Status, examine
from relad.study.settings import TrainSettings
from tests.helpers.settings import of, study

METHODS = [name for name, entry in study()["methods"].items() if entry["ablates"] is None]


@pytest.mark.parametrize("name", METHODS)
def test_a_configured_method_passes(name: str) -> None:
    failed = [o for o in examine(name, of(TrainSettings)) if o.status is Status.FAILED]
    assert failed == [], "\n".join(map(str, failed))
