"""What a trained model says of itself: enough to apply it to somebody, and to say by what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad.errors import DataError, ReladError
from relad.fileio import content_of, read_json, sha256_of
from relad.status import Kind
from relad.study.paths import TRAINING_RECORD, WEIGHTS
from relad.study.settings import PreprocessSettings, Tracer, TrainedMethod, typed


@dataclass(frozen=True)
class Record:
    """The record of a training, ``train.json`` of a model's folder.

    Attributes
    ----------
    folder
        Of the model.
    method, cohort
        Id of the method, and the cohort that it was trained on.
    kind
        Of the data that it was trained on.
    inputs
        Modalities that it must be given.
    trained
        Tracers of which it saw PET.
    settings
        By which its people were preprocessed, and anybody must be whom it is applied to.
    seen
        Ranges of its people, see :mod:`relad.data.seen`.
    told
        All of ``train.json``.
    """

    folder: Path
    method: str
    cohort: str
    kind: Kind
    inputs: tuple[str, ...]
    trained: tuple[str, ...]
    settings: PreprocessSettings
    seen: Mapping[str, Any]
    told: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read the record of a model's folder.

        Raises
        ------
        ReladError
            Where there is none, it is damaged, or it lacks what an application needs.
        """
        file = folder / TRAINING_RECORD
        if not folder.is_dir() or not file.is_file():
            raise ReladError(
                f"is no trained model (it holds no {TRAINING_RECORD})",
                file=folder,
                hint="name a folder such as results/models/rela/fold-0_seed-0",
            )
        told = read_json(file)
        what = "record of a training of this version"
        with content_of(file, what, hint="train the model again"):
            if told.get("preprocessing") is None or told.get("seen") is None:
                raise DataError(
                    "does not say how its people were preprocessed, so that nobody can be "
                    "brought to it",
                    file=file,
                    hint="pack the cohort again and train the model again with this version",
                )
            return cls(
                folder=folder,
                method=str(told["method"]),
                cohort=str(told["cohort"]),
                kind=Kind(told["kind"]),
                inputs=typed(TrainedMethod, told["entry"]).inputs,
                trained=tuple(told["trained_tracers"]),
                settings=typed(PreprocessSettings, told["preprocessing"]),
                seen={key: told["seen"][key] for key in ("people", "scanners", "measures")},
                told=told,
            )

    def tracer(self, name: str) -> Tracer:
        """Settings of a tracer, of which the model must have seen PET.

        Raises
        ------
        ReladError
            Where it has not.
        """
        if name not in self.trained:
            known = name in self.settings.tracers
            raise ReladError(
                f"saw no PET of the tracer {name!r} in training"
                if known
                else f"knows no tracer {name!r}",
                file=self.folder,
                hint=f"it was trained for {', '.join(self.trained)}",
            )
        return self.settings.tracers[name]

    def require_inputs(self, given: Collection[str]) -> None:
        """Refuse to go on without a scan that the model needs, or with one it never saw.

        Raises
        ------
        ReladError
            Naming it.
        """
        needs = f"was trained on {' and '.join(self.inputs)}"
        if missing := [name for name in self.inputs if name not in given]:
            raise ReladError(
                f"{needs}, and there is no {' and no '.join(missing)}",
                file=self.folder,
                hint="give it too, or take a model that was trained without it",
            )
        if unseen := [name for name in given if name not in self.inputs]:
            raise ReladError(
                f"{needs} and never on {' or '.join(unseen)}",
                file=self.folder,
                hint="leave it out, or take a model that was trained with it",
            )

    def note(self, person: Kind) -> str:
        """What must stand on the face of what it makes of a person with scans of this kind."""
        if Kind.of_parts([person, self.kind]) is person:
            return person.note
        return f"MODEL TRAINED ON {self.kind.note}"

    @property
    def name(self) -> str:
        """The model in words."""
        return f"{self.method} (fold {self.told['fold']}, seed {self.told['seed']})"

    def about(self) -> dict[str, Any]:
        """What the files that it makes say of it."""
        return {
            "Method": self.method,
            "Fold": self.told["fold"],
            "Seed": self.told["seed"],
            "Updates": self.told["counts"]["updates"],
            "Inputs": list(self.inputs),
            "TrainingCohort": self.cohort,
            "TrainingPeople": self.seen["people"],
            "TrainingData": self.kind.note or "measured scans",
            "TrainingDataFingerprint": self.told["data"],
            "WeightsSHA256": sha256_of(self.folder / WEIGHTS),
        }
