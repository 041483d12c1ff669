"""A preprocessed person as models are given one, and as they are compared with whom these know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relad.data import seen
from relad.data.intensity import standardized_mri
from relad.errors import DataError
from relad.imaging.nifti import load_nifti
from relad.prediction import strangers
from relad.prediction.record import Record
from relad.status import SubjectStatus
from relad.study import paths


def read_mri(folder: Path, subject: str, inputs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """MRI (m, x, y, z) and brain (x, y, z) of a folder of `relad normalize`, as they are packed.

    Raises
    ------
    DataError
        Where one cannot be used.
    """
    brain = load_nifti(folder / paths.brain_mask(subject), ndim=3, allow_constant=True)
    mask = np.asarray(brain.dataobj) > 0.5
    volumes = []
    for modality in inputs:
        image = load_nifti(folder / paths.preprocessed_mri(subject, modality), ndim=3)
        try:
            volumes.append(standardized_mri(np.asarray(image.dataobj), mask))
        except DataError as error:
            raise DataError(f"{modality}: {error.what}") from None
    return np.stack(volumes), mask


def warnings_of(
    record: Record,
    status: SubjectStatus,
    scanner: str | None,
    age: object,
    mri: np.ndarray,
    mask: np.ndarray,
) -> list[str]:
    """In what a person differs from whom a model was trained on, see :mod:`strangers`.

    Parameters
    ----------
    record
        Of the model.
    status
        Of the person.
    scanner
        That the T1w names.
    age
        In years; None, or words that are no number, where it is not known.
    mri, mask
        Of :func:`read_mri`, with the model's inputs.
    """
    row: Mapping[str, Any] = {
        "age": _number(age),
        "brain_volume_ml": status.numbers.get("brain_volume_ml"),
    }
    found = seen.measures(row, mri, mask, record.inputs)
    return strangers.warnings(record, status.kind, scanner, found)


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
