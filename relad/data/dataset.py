"""A packed cohort as read by training, synthesis, evaluation and figures.

Needs NumPy alone, so that the packed folder and this file are all a bare GPU machine has to carry.
``relad pack`` writes what this reads:

======================  ====================================================================
``mri.npy``             (N, 2, x, y, z) float32, T1w and FLAIR, [-1, 1], -1 outside the mask
``pet.npy``             (N, K, x, y, z) float32, window units of SUVR, NaN where no PET exists: of
                        brain outside a scan's field of view, and of a tracer that was not given;
                        not in a cohort with the role apply, whose PET nobody knows
``mask.npy``            (N, x, y, z) bool, brain
``ceiling.npy``         as pet.npy, what anatomy, stage and lesions determine of simulated PET; only
                        where dataset.json says ``ceiling``. For ``relad ceiling``: whoever trains
                        or synthesises neither needs nor opens it
``regions.npy``         (N, R, x, y, z) bool, everybody's own regions of the evaluation; only where
                        dataset.json names some
``subjects.tsv``        one row per subject of the cohort, excluded ones with their reason
``dataset.json``        cohort, kind of data, tracers, SUVR windows, affine (voxel index to MNI RAS
                        mm), folds, checksums of the volumes, settings of the preprocessing
======================  ====================================================================
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relad.errors import DataError, ReladError
from relad.fileio import content_of, read_object, read_table
from relad.status import Kind

SUBJECT_COLUMNS = (
    "subject",
    "session",
    "included",
    "reason",
    "override",
    "index",
    "fold",
    "group",
    "age",
    "sex",
    "tracers",
    "scanner",
    "brain_volume_ml",
    "mri_sha256",
)

#: What is told of people and data beside what makes them up.
_BESIDE = {"provenance", "regions", "ceiling", "preprocessing", "scanner", "brain_volume_ml"}
_BESIDE |= {"mri_sha256"}
#: Volumes that no model has seen.
_UNSEEN = {"regions", "ceiling"}
_NOWHERE = np.float32(np.nan)


def _parse(row: dict[str, str | None], *, file: Path) -> dict[str, Any]:
    """Give one row of ``subjects.tsv`` its types."""
    try:
        return {
            **row,
            "included": row["included"] == "yes",
            "index": None if row["index"] is None else int(row["index"]),
            "fold": None if row["fold"] is None else int(row["fold"]),
            "age": None if row["age"] is None else float(row["age"]),
            "brain_volume_ml": None
            if row.get("brain_volume_ml") is None
            else float(row["brain_volume_ml"]),
            "tracers": tuple((row["tracers"] or "").split(",")) if row["tracers"] else (),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"not a table of packed subjects ({error!r})", file=file) from None


def refuse_twins(rows: Iterable[Mapping[str, Any]], where: object) -> None:
    """Refuse a cohort to train or test on in which one MRI stands under two ids.

    Raises
    ------
    ReladError
        Where two rows have one ``mri_sha256``; of rows without it nothing is known.
    """
    first: dict[str, str] = {}
    for row in rows:
        if not row.get("mri_sha256"):
            continue
        twin = first.setdefault(row["mri_sha256"], row["subject"])
        if twin != row["subject"]:
            raise ReladError(
                f"{twin} and {row['subject']} have the same MRI: one person under two ids, who "
                "would count twice, or be trained on and tested",
                file=str(where),
                hint="take one of them out of the cohort",
            )


class PackedDataset:
    """One packed cohort, its volumes memory-mapped.

    Parameters
    ----------
    path
        Folder written by ``relad pack``.

    Attributes
    ----------
    mri
        (N, 2, x, y, z) float32 memmap in [-1, 1].
    pet
        (N, K, x, y, z) float32 memmap in window units; NaN where the subject lacks the tracer, in
        brain that the scan does not show, and everywhere in a cohort with the role apply.
    mask
        (N, x, y, z) bool memmap: brain that T1w and FLAIR show.
    regions
        (N, R, x, y, z) bool memmap of the subjects' own regions, in the order of ``own_regions``;
        R is 0 where the cohort has none of its own.
    subjects
        The N included rows of ``subjects.tsv``; ``subjects[i]`` belongs to ``mri[i]``. ``index``
        and ``fold`` are int (fold None in an external cohort), ``age`` float or None, ``tracers``
        a tuple.
    excluded
        The other rows, each with its ``reason``.
    has_ceiling
        Whether :meth:`ceiling` is there.
    modalities, tracers, windows, affine, shape, cohort, role, kind, own_regions
        As in ``dataset.json``; ``windows`` maps a tracer to (low, high) in SUVR, ``affine`` is a
        (4, 4) float64 array from voxel index to MNI RAS mm.
    preprocessing
        Settings by which the scans were brought here, as :class:`relad.study.settings.
        PreprocessSettings` has them; None of a cohort that was packed before they were kept.

    Raises
    ------
    ReladError
        Where files are missing or disagree, or a subject stands twice, in two folds or
        in none of a training cohort, or one MRI under two ids.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_dir():
            raise ReladError("no such packed dataset", file=self.path, hint="run `relad pack`")
        file = self.path / "dataset.json"
        self.info: dict[str, Any] = read_object(file)
        what = "description of a packed cohort of this version"
        with content_of(file, what, hint="pack the cohort again"):
            self._read_info(self.info)
        table = self.path / "subjects.tsv"
        rows = [_parse(row, file=table) for row in read_table(table)]
        self._refuse_leaks(rows, table)
        self.subjects = sorted((r for r in rows if r["included"]), key=lambda r: r["index"])
        if not self.applied:
            refuse_twins(self.subjects, table)
        self._require_places(table)
        self.excluded = [r for r in rows if not r["included"]]
        count = len(self.subjects)
        if [r["index"] for r in self.subjects] != list(range(count)):
            raise DataError("indices of the included subjects are not 0, 1, 2, ...", file=table)

        self.open()

    def open(self) -> None:
        """Map the volumes; anew, where they are: what was read no longer takes up memory."""
        count = len(self.subjects)
        self.mri = self._map("mri", (count, len(self.modalities), *self.shape))
        pet = (count, len(self.tracers), *self.shape)
        self.pet = np.broadcast_to(_NOWHERE, pet) if self.applied else self._map("pet", pet)
        self.mask = self._map("mask", (count, *self.shape))
        own = (count, len(self.own_regions), *self.shape)
        self.regions = self._map("regions", own) if self.own_regions else np.zeros(own, bool)

    def _read_info(self, info: dict[str, Any]) -> None:
        self.cohort: str = info["cohort"]
        self.role: str = info["role"]
        if not isinstance(self.cohort, str) or not isinstance(self.role, str):
            raise TypeError(f"cohort {self.cohort!r} has the role {self.role!r}")
        self.kind = Kind(info["kind"])
        self.modalities: list[str] = list(info["modalities"])
        self.tracers: list[str] = list(info["tracers"])
        windows = info["windows"]
        self.windows = {t: (float(windows[t][0]), float(windows[t][1])) for t in self.tracers}
        if not all(low < high for low, high in self.windows.values()):
            raise ValueError(f"an SUVR window is empty: {self.windows}")
        self.affine = np.asarray(info["affine"], dtype=np.float64)
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise ValueError(f"an affine of shape {self.affine.shape}")
        x, y, z = info["shape"]
        self.shape: tuple[int, int, int] = (operator.index(x), operator.index(y), operator.index(z))
        self.own_regions: list[str] = list(info.get("regions", ()))
        self.has_ceiling = info.get("ceiling") is True
        self.preprocessing: dict[str, Any] | None = info.get("preprocessing")

    @staticmethod
    def _refuse_leaks(rows: list[dict[str, Any]], table: Path) -> None:
        folds: dict[str, Any] = {}
        for row in rows:
            if row["subject"] in folds:
                first = folds[row["subject"]]
                raise ReladError(
                    f"subject {row['subject']} stands in two rows"
                    + (f", in folds {first} and {row['fold']}" if first != row["fold"] else ""),
                    file=table,
                    hint="training and test data would mix; pack the cohort again",
                )
            folds[row["subject"]] = row["fold"]

    def _require_places(self, table: Path) -> None:
        """Refuse people without a fold, who would be trained on in each, and unknown tracers."""
        for row in self.subjects:
            strange = sorted(set(row["tracers"]) - set(self.tracers))
            unplaced = self.role == "train" and row["fold"] is None
            if strange or unplaced:
                what = f"PET of {', '.join(strange)}, of which dataset.json knows nothing"
                raise DataError(
                    f"subject {row['subject']} has {'no fold' if unplaced else what}",
                    file=table,
                    hint="pack the cohort again",
                )

    def _map(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        file = self.path / f"{name}.npy"
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read ({error})", file=file) from None
        if array.shape != shape:
            raise DataError(
                f"has shape {array.shape}, but subjects.tsv and dataset.json say {shape}",
                file=file,
                hint="pack the cohort again",
            )
        return array

    @property
    def applied(self) -> bool:
        """Whether models are applied to it, and none of its PET is known."""
        return self.role == "apply"

    def __len__(self) -> int:
        return len(self.subjects)

    def pair_mask(self, subject: int, tracer: int) -> np.ndarray:
        """Brain (x, y, z) that T1w, FLAIR and the PET of a pair show: where PET can be compared."""
        return np.asarray(self.mask[subject]) & np.isfinite(self.pet[subject, tracer])

    def own_masks(self, subject: int) -> dict[str, np.ndarray]:
        """Region -> mask (x, y, z) of a subject's own regions, whether or not a PET shows them."""
        return dict(zip(self.own_regions, np.asarray(self.regions[subject]), strict=True))

    def ceiling(self) -> np.ndarray:
        """Open what anatomy determines of simulated PET, (N, K, x, y, z) as :attr:`pet`.

        Not with the other volumes, among which a method's are.

        Raises
        ------
        ReladError
            Where the cohort has none: nobody knows it of real PET.
        """
        if not self.has_ceiling:
            raise ReladError(
                "holds nothing of what anatomy determines of its PET",
                file=self.path,
                hint="only simulated PET has it: normalize with --truth and pack again",
            )
        return self._map("ceiling", (len(self), len(self.tracers), *self.shape))

    def names(self, pairs: Iterable[tuple[int, int]]) -> list[str]:
        """Sorted labels of the subjects of some pairs."""
        return sorted({self.subjects[i]["subject"] for i, _ in pairs})

    @property
    def fingerprint(self) -> str:
        """Hash of what is in it: people, folds, volumes (by their checksums), windows and grid.

        Without the regions of the evaluation and the ceiling, which no model has seen, and what is
        told beside.
        """
        facts = {k: v for k, v in self.info.items() if k not in _BESIDE}
        if "sha256" in facts:
            facts["sha256"] = {k: v for k, v in facts["sha256"].items() if k not in _UNSEEN}
        people = [{k: v for k, v in row.items() if k not in _BESIDE} for row in self.subjects]
        text = json.dumps([facts, people], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def pairs(
        self, fold: int | None = None, part: Literal["train", "test", "all"] = "all"
    ) -> list[tuple[int, int]]:
        """List the (subject index, tracer index) for which PET exists, or is to be synthesised.

        Parameters
        ----------
        fold
            Held-out fold; needed for ``train`` and ``test``, not used for ``all``.
        part
            ``train``: every other fold; ``test``: the held-out fold; ``all``: every subject.

        Raises
        ------
        ReladError
            If the cohort has no such fold or the part is empty of subjects.
        """
        if part not in ("train", "test", "all"):
            raise ValueError(f"part is {part!r}, not train, test or all")
        subjects = self.subjects
        if part != "all":
            folds = {row["fold"] for row in subjects}
            if fold is None or fold not in folds:
                known = ", ".join(str(f) for f in sorted(folds - {None})) or "none"
                raise ReladError(
                    f"cohort {self.cohort} has no fold {fold} (folds: {known})", file=self.path
                )
            subjects = [row for row in subjects if (row["fold"] == fold) == (part == "test")]
        if not subjects:
            raise ReladError(f"cohort {self.cohort} has no subject for {part}", file=self.path)
        return [
            (row["index"], k)
            for row in subjects
            for k, tracer in enumerate(self.tracers)
            if tracer in row["tracers"] or self.applied
        ]
