"""The files behind metric rows: runs, models, packed data, and every scan down to the raw ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, read_table, sha256_of
from relad.results.origin import Origin
from relad.results.runs import Evaluation, is_outside, left_behind, read_evaluation
from relad.status import SubjectStatus
from relad.study import paths


@dataclass
class Ran:
    """One evaluated run and what it rests on.

    Attributes
    ----------
    evaluation
        Record of the evaluation.
    crate
        The crate that the table lies in, which holds no images and weights; else None.
    synthesis, training, packed
        Contents of ``synthesis.json``, ``train.json`` and ``dataset.json``; None where it is gone.
    model
        Folder of the model; None where the table was given none for it.
    weights
        Hash of the weights; None where they are gone.
    problems
        What is no longer as it was: file and remedy, one line each.
    """

    evaluation: Evaluation
    crate: Path | None = None
    synthesis: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    packed: dict[str, Any] | None = None
    model: Path | None = None
    weights: str | None = None
    problems: list[ReladError] = field(default_factory=list)


def runs_of(rows: pd.DataFrame, origin: Origin) -> list[Ran]:
    """Runs that metric rows come from, each checked against what its evaluation recorded."""
    found = []
    for file, of in rows.groupby("file", sort=False):
        first = of.iloc[0]
        ran = Ran(read_evaluation(Path(str(file))), origin.crate)
        found.append(ran)
        if ran.evaluation.synthesized is None:  # of the ceiling, which no model made
            _add_packed(ran)
            continue
        problem = ran.evaluation.synthesized.changed("run `relad evaluate` again")
        if problem is None:
            ran.synthesis = read_json(ran.evaluation.synthesized.path)
        else:
            ran.problems.append(problem)
        _add_packed(ran)
        _add_images(ran, of)
        trained_as = origin.settings.methods[first["method"]].trained_as
        _add_model(ran, origin, trained_as, first["fold"], first["seed"])
    return found


def _add_packed(ran: Ran) -> None:
    made = ran.evaluation.packed
    if is_outside(made.path, ran.crate):
        return
    problem = made.changed("pack the cohort again, and run what follows")
    if made.path.is_file():
        ran.packed = read_json(made.path)
        if problem is not None and ran.synthesis is not None:
            # Packed again by another version: what counts is whether the data are the same.
            again = PackedDataset(made.path.parent).fingerprint
            problem = None if again == ran.synthesis.get("data") else problem
    if problem is not None:
        ran.problems.append(problem)


def _add_images(ran: Ran, rows: pd.DataFrame) -> None:
    """Check the images of the rows' subjects; a study of samplers deletes its own on purpose."""
    folder = ran.evaluation.synthesized.path.parent
    if not folder.is_dir():
        return
    for name in images_of(ran, rows):
        file = folder / name
        if not file.is_file() and ran.crate is not None:
            continue
        if not file.is_file():
            what = "has vanished since it was compared"
        elif sha256_of(file) != ran.evaluation.images[name]:
            what = "has changed since it was compared"
        else:
            continue
        hint = "run `relad synthesize` and `relad evaluate` again"
        ran.problems.append(ReladError(what, file=file, hint=hint))


def images_of(ran: Ran, rows: pd.DataFrame) -> list[str]:
    """Names of the synthetic images that rows of one run are of."""
    pairs = rows[["subject", "tracer"]].drop_duplicates().itertuples(index=False)
    begins = tuple(paths.synthetic_pet(s, t).partition("_space-")[0] + "_" for s, t in pairs)
    return [name for name in ran.evaluation.images if name.startswith(begins)]


def _add_model(ran: Ran, origin: Origin, trained_as: str, fold: str, seed: str) -> None:
    for made in origin.files["models"]:
        told = read_json(made.path)
        if (told["method"], str(told["fold"]), str(told["seed"])) != (trained_as, fold, seed):
            continue
        ran.model, ran.training = made.path.parent, told
        weights = ran.model / paths.WEIGHTS
        if weights.is_file():
            ran.weights = sha256_of(weights)
            if told.get("weights_sha256", ran.weights) != ran.weights:
                hint = "run `relad train` again, and what follows"
                what = "has changed since it was trained"
                ran.problems.append(ReladError(what, file=weights, hint=hint))
        elif ran.crate is None:
            ran.problems.append(
                ReladError("has vanished", file=weights, hint="run `relad train` again")
            )
        sampled = (ran.synthesis or {}).get("model", {}).get("data", told["data"])
        if told["data"] != sampled:
            ran.problems.append(
                ReladError(
                    "was trained on other data than the model that was sampled",
                    file=made.path,
                    hint="run `relad synthesize` again",
                )
            )


@dataclass(frozen=True)
class Scan:
    """One image of a subject on its way: what it is, its file, and whether that is there."""

    what: str
    file: Path
    told: str = ""

    @property
    def there(self) -> bool:
        return self.file.exists()


def scans_of(ran: Ran, subject: str, tracers: Iterable[str]) -> Iterator[Scan]:
    """Yield the files behind a subject's value, from the synthetic image to the raw series.

    What lies before packing is looked for where the workflow puts it, beside the packed data; where
    a cohort was packed elsewhere, nothing of it is told.
    """
    tracers = list(tracers)
    names = {paths.synthetic_pet(subject, tracer) for tracer in tracers}
    made = ran.evaluation.synthesized
    for name in ran.evaluation.images if made else ():
        if name in names:
            file = made.path.parent / name
            yield Scan("synthetic PET", file, f"sha256 {ran.evaluation.images[name][:12]}")
    packed = ran.evaluation.packed.path.parent
    if left_behind(ran.evaluation.packed.path, ran.crate):
        return
    row = _packed_row(packed, subject)
    if row is not None:
        yield Scan("packed", packed / "pet.npy", f"[{row['index']}], fold {row['fold'] or 'none'}")
    root, cohort = packed.parent.parent, packed.name
    if packed != _below(root, paths.packed(cohort)):
        return
    normalized = _below(root, paths.normalized(cohort, subject))
    if not (normalized / "status.json").is_file():
        return
    for tracer in tracers:
        yield Scan("on the grid", normalized / paths.preprocessed_pet(subject, tracer))
    for modality in ran.packed["modalities"] if ran.packed else ():
        yield Scan("on the grid", normalized / paths.preprocessed_mri(subject, modality))
    yield Scan("on the grid", normalized / paths.brain_mask(subject))
    yield Scan("registered", _below(root, paths.registered(cohort, subject)))
    bids, inputs = _below(root, paths.bids(cohort)), SubjectStatus.read(normalized).inputs
    series = _series(bids)
    wanted = [*(ran.packed["modalities"] if ran.packed else ()), *tracers]
    for name in (name for name in wanted if name in inputs):
        yield Scan(f"BIDS, {name}", bids / inputs[name])
        for entry in series.get(inputs[name], ()):
            raw = _raw_folder(_below(root, paths.raw(cohort)), entry["image_id"])
            told = f"{entry['description']}, {entry['n_files']} files"
            if raw is not None:
                yield Scan(f"raw {entry['image_id']}", raw, told)
            else:
                table = bids / "ingest.tsv"
                yield Scan(f"raw {entry['image_id'] or ''}".strip(), table, told)


def _below(root: Path, path: Path) -> Path:
    """A path of :mod:`relad.study.paths` below another folder of results."""
    return root / path.relative_to(paths.RESULTS)


@cache
def _packed_rows(folder: Path) -> dict[str | None, Mapping[str, str | None]]:
    file = folder / "subjects.tsv"
    return {row["subject"]: row for row in read_table(file)} if file.is_file() else {}


def _packed_row(folder: Path, subject: str) -> Mapping[str, str | None] | None:
    return _packed_rows(folder).get(subject)


@cache
def _series(bids: Path) -> dict[str | None, list[Mapping[str, str | None]]]:
    """Image of a BIDS dataset -> series it was made of."""
    found: dict[str | None, list[Mapping[str, str | None]]] = {}
    file = bids / "ingest.tsv"
    for row in read_table(file) if file.is_file() else ():
        if row["status"] == "kept":
            found.setdefault(row["output"], []).append(row)
    return found


def _raw_folder(raw: Path, image_id: str | None) -> Path | None:
    """Folder of a series of a simulated download; None where the download lies elsewhere."""
    if image_id is None or not raw.is_dir():
        return None
    return next((path for path in raw.glob(f"loni/*/*/*/{image_id}")), None)
