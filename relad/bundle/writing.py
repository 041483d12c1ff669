"""From a model folder to a bundle."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad import __version__
from relad.bundle import archive, card, model
from relad.bundle.form import (
    CARD,
    FORMAT,
    MANIFEST,
    PARTS,
    SCORES,
    VERSION,
)
from relad.bundle.text import parsed
from relad.errors import ReladError
from relad.fileio import scratch_folder, whole_file
from relad.status import RESEARCH_ONLY, Kind
from relad.study.paths import TRAINING_RECORD
from relad.study.settings import BRAIN_EXTRACTIONS


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    identity
        SHA-256 of its manifest, which names those of all files: the bundle's own.
    files
        Its files, in the archive's order.
    left
        Names in the model folder that stayed behind.
    command
        What extracted brains, where that was a command, which stayed behind too.
    """

    identity: str
    files: tuple[str, ...]
    left: tuple[str, ...]
    command: str | None


def export(
    folder: Path, bundle: Path, *, license_: str, scores: Sequence[card.Score] = ()
) -> Exported:
    """Write a trained model as one file, and open it once to see that it can be.

    Parameters
    ----------
    folder
        Of ``relad train``.
    bundle
        File to write; one that is no bundle is not replaced.
    license_
        One line.
    scores
        Of test subjects, for the card and ``scores.csv``.

    Raises
    ------
    ReladError
        Where the folder holds no whole model, the model could not be opened from a bundle, or
        ``bundle`` is something else.
    """
    _require_replaceable(bundle)
    if not folder.is_dir():
        raise ReladError("no such model folder", file=folder, hint="`relad train` writes one")
    members: dict[str, Path | bytes] = {
        name: folder / name
        for name, part in PARTS.items()
        if part.of_model and (part.needed or (folder / name).exists())
    }
    for name, source in members.items():
        if not source.is_file():
            raise ReladError("no such file in the model folder", file=source, hint="train it first")
        if source.stat().st_size > PARTS[name].limit:
            raise ReladError(
                f"is larger than a bundle takes ({PARTS[name].limit} bytes)", file=source
            )
    told = parsed((folder / TRAINING_RECORD).read_bytes(), TRAINING_RECORD, folder)
    info = model.checked_record(_without_command(told), folder)
    if info is not told:
        members[TRAINING_RECORD] = (json.dumps(info, indent=2, ensure_ascii=False) + "\n").encode()
    if scores:
        members[SCORES] = _table(scores)
    names = [name for name in PARTS if name in members or name in (MANIFEST, CARD)]
    members[CARD] = card.write(info, license_, scores, names).encode()
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "relad": __version__,
        "kind": info["kind"],
        "mark": card.mark_of(Kind(info["kind"])),
        "use": RESEARCH_ONLY,
        "license": license_,
        "method": info["method"],
        "files": {name: _described(members[name]) for name in names if name != MANIFEST},
    }
    members[MANIFEST] = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    with whole_file(bundle) as temporary:
        archive.write(temporary, {name: members[name] for name in names})
        with archive.reading(temporary) as written, scratch_folder() as scratch:
            written.unpack(scratch)
            try:
                model.check(scratch, folder, manifest)
            except ReladError as error:
                raise ReladError(f"could not be opened: {error.what}", file=folder) from None
            identity = written.identity
    left = sorted(path.name for path in folder.iterdir() if path.name not in names)
    command = None
    if info is not told:
        command = told["preprocessing"]["registration"]["brain_extraction"]
    return Exported(identity, tuple(names), tuple(left), command)


def _without_command(told: Any) -> Any:
    """``train.json`` as a bundle may hold it: where a command extracted brains, masks are brought.

    No bundle brings a command, which whoever opens it would run.
    """
    try:
        settings = told["preprocessing"]
        registration = settings["registration"]
        if registration["brain_extraction"] in BRAIN_EXTRACTIONS:
            return told
    except (KeyError, TypeError):  # of an older version, or of none
        return told
    registration = {**registration, "brain_extraction": "derivatives"}
    return {**told, "preprocessing": {**settings, "registration": registration}}


def _require_replaceable(bundle: Path) -> None:
    """Refuse to write over anything but an older bundle."""
    if not bundle.exists():
        return
    try:
        with archive.reading(bundle):
            pass
    except ReladError:
        raise ReladError(
            "exists and is no bundle of this format", file=bundle, hint="name another file"
        ) from None


def _described(content: Path | bytes) -> dict[str, object]:
    if isinstance(content, bytes):
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with content.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": content.stat().st_size, "sha256": sha}


def _table(scores: Sequence[card.Score]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(card.SCORE_COLUMNS)
    for score in scores:
        values = (getattr(score, column) for column in card.SCORE_COLUMNS)
        writer.writerow("" if value is None else value for value in values)
    return text.getvalue().encode()
