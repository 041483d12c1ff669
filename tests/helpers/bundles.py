"""Bundles that are damaged, or made to do harm."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from relad.study.settings import PreprocessSettings, plain
from tests.helpers.settings import of

#: As models carry it, of a study whose brains the network extracts.
PREPROCESSING: dict[str, Any] = plain(of(PreprocessSettings))

Members = dict[str, bytes]
MANIFEST, RECORD, WEIGHTS = "manifest.json", "train.json", "model.safetensors"


def members(bundle: Path) -> Members:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(
    path: Path,
    content: Mapping[str, bytes] | list[tuple[str, bytes]],
    *,
    sign: bool = True,
    link: str = "",
    **options: Any,
) -> None:
    """Write a zip as `relad export` does, its manifest that of the content if ``sign``."""
    pairs = list(content.items()) if isinstance(content, Mapping) else content
    if sign:
        pairs = list(signed(dict(pairs)).items())
    with zipfile.ZipFile(path, "w", options.pop("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in pairs:
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.compress_type = archive.compression
            member.external_attr = ((stat.S_IFLNK if name == link else stat.S_IFREG) | 0o644) << 16
            for key, value in options.items():
                setattr(member, key, value)
            archive.writestr(member, data)


def signed(content: Members, **changed: Any) -> Members:
    """With a manifest that names sizes and checksums of what is there."""
    told = json.loads(content[MANIFEST]) | changed
    told["files"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in content.items()
        if name != MANIFEST
    }
    return content | {MANIFEST: json.dumps(told).encode()}


def record(content: Members, **changed: Any) -> Members:
    """With other values in train.json; ``entry`` adds to its entry."""
    told = json.loads(content[RECORD])
    changed["entry"] = told["entry"] | changed.get("entry", {})
    return content | {RECORD: json.dumps(told | changed).encode()}


def header(content: Members, change: Callable[[dict[str, Any]], None]) -> Members:
    """With another header of the weights."""
    data = content[WEIGHTS]
    length = struct.unpack("<Q", data[:8])[0]
    told = json.loads(data[8 : 8 + length])
    change(told)
    text = json.dumps(told).encode()
    return content | {WEIGHTS: struct.pack("<Q", len(text)) + text + data[8 + length :]}
