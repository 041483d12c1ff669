"""Settings of steps for tests: the default study's, with what a test changes."""

from __future__ import annotations

import atexit
import copy
import itertools
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from relad.study import config
from relad.study.settings import IngestSettings, typed

_FOLDER = Path(tempfile.mkdtemp(prefix="relad-settings-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_NUMBER = itertools.count()


@cache
def _default() -> dict[str, Any]:
    return config.load()


def study(**sections: Any) -> dict[str, Any]:
    """The default study, resolved, with other values of some sections' keys.

    A section of ``cohorts``, ``methods`` or ``tracers`` replaces the default one.
    """
    whole = copy.deepcopy(_default())
    for name, part in sections.items():
        replaced = name in ("cohorts", "methods", "tracers") or not isinstance(part, dict)
        whole[name] = part if replaced else {**whole[name], **part}
    return whole


def tracer(ligand: str, **entry: Any) -> dict[str, Any]:
    """A tracer's whole entry."""
    usual = {"aliases": [], "frames_min": [80, 100], "reference_region": "whole_cerebellum"}
    usual |= {"reference_erosion_mm": 0, "suvr_window": [0.0, 4.0]}
    return {"ligand": ligand, **usual, **entry}


def of(kind: type, **sections: Any) -> Any:
    """Settings of a step's class."""
    return typed(kind, study(**sections))


def ingest_settings(tracers: dict[str, Any], **ingest: Any) -> IngestSettings:
    return of(IngestSettings, tracers=tracers, ingest=ingest)


def file_of(settings: dict[str, Any]) -> str:
    """A file of resolved settings, as the workflow hands it to a step."""
    file = _FOLDER / f"{next(_NUMBER)}.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return str(file)


def members(study: Mapping[str, Any], group: str) -> list[str]:
    """Methods of a group, in the configuration's order."""
    return [name for name, entry in study["methods"].items() if group in entry["groups"]]
