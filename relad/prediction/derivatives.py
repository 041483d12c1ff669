"""A model's images of some people as a BIDS derivative dataset; every file says what it is.

    dataset_description.json, README.md, participants.tsv
    sub-LABEL.html                       all of one person on one page, pictures included
    sub-LABEL/pet/sub-LABEL_trc-TRACER_space-SPACE_desc-synthetic_pet.nii.gz   SUVR
    sub-LABEL/pet/sub-LABEL_trc-TRACER_space-SPACE_desc-spread_pet.nii.gz      its spread, SUVR
    sub-LABEL/pet/sub-LABEL_trc-TRACER_seg-relad_desc-synthetic_stats.tsv      SUVR of regions
    sub-LABEL/anat/sub-LABEL_space-T1w_seg-relad_dseg.nii.gz, .tsv             the regions
    sub-LABEL/figures/                                                         pictures

SPACE is T1w (the grid of the person's own T1w) and MNI152NLin2009aSym (the model's grid). A sidecar
beside each says by which model and how it was made. Source: BIDS 1.10, "BIDS Derivatives"; it has
no name yet for a table of regions' values, which therefore stands in .bidsignore.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from relad import __version__
from relad.cohort.bids import VERSION
from relad.fileio import beside, write_json, write_table, write_text
from relad.imaging import atlas, regions
from relad.imaging.nifti import load_nifti, save_nifti
from relad.prediction import page
from relad.prediction.native import COLUMNS, Native
from relad.prediction.record import Record
from relad.qc.picture import draw
from relad.status import RESEARCH_ONLY, SIMULATED_KEY, Kind, Modality, SubjectStatus
from relad.study import paths
from relad.study.sampling import described

SYNTHETIC, SPREAD = "synthetic", "spread"
#: A person's space, and the template's.
SPACES = ("T1w", atlas.SPACE)

_PARTICIPANTS = {
    "age": {"Description": "age, where it is known", "Units": "year"},
    "sex": {"Description": "as the source states it"},
    "group": {"Description": "diagnostic group, as the source states it"},
    "applied": {"Description": "whether the model was applied", "Levels": {"yes": "", "no": ""}},
    "reason": {"Description": "why it was not"},
    "warnings": {
        "Description": "what to look at in the scans, and in what the person differs from whom the "
        "model was trained on"
    },
}


@dataclass(frozen=True)
class Synthetic:
    """One tracer's PET of a person on the model's grid, all (x, y, z) SUVR, 0 outside the brain.

    Attributes
    ----------
    mean
        Of all samples.
    spread
        Their standard deviation; None of a single one.
    samples
        Each of them.
    """

    mean: np.ndarray
    spread: np.ndarray | None
    samples: Sequence[np.ndarray]


@dataclass(frozen=True)
class Applied:
    """A person to whom a model was applied.

    Attributes
    ----------
    status
        Of the person's scans, judged.
    registered, normalized
        Folders of `relad register` and `relad normalize`.
    sources
        Modality -> name of the scan.
    pet
        Tracer -> its synthetic PET.
    warnings
        What to look at in the scans, and see :mod:`relad.prediction.strangers`.
    told
        ``age``, ``sex`` and ``group``, where they are known.
    """

    status: SubjectStatus
    registered: Path
    normalized: Path
    sources: Mapping[str, str]
    pet: Mapping[str, Synthetic]
    warnings: Sequence[str]
    told: Mapping[str, Any]

    @property
    def subject(self) -> str:
        return self.status.subject


@dataclass(frozen=True)
class Dataset:
    """A derivative dataset that is being written.

    Attributes
    ----------
    root
        Its folder.
    record
        Of the model.
    sampling
        Name of the sampling, see :mod:`relad.study.sampling`.
    seed
        Of the samples' noise.
    step
        Command that writes it.
    """

    root: Path
    record: Record
    sampling: str
    seed: int
    step: str

    @cached_property
    def _model(self) -> dict[str, Any]:
        return self.record.about()

    def write_root(self, people: Iterable[Mapping[str, Any]], kind: Kind) -> None:
        """Write the files that describe the dataset; ``people`` are rows of participants.tsv."""
        marked = f"{kind.note}: " if kind.note else ""
        name = f"{marked}synthetic PET by {self.record.name}"
        write_json(
            self.root / "dataset_description.json",
            {
                "Name": name,
                "BIDSVersion": VERSION,
                "DatasetType": "derivative",
                "GeneratedBy": [
                    {
                        "Name": self.step,
                        "Version": __version__,
                        "Description": f"Synthetic PET from MRI by {self.record.name}. "
                        + RESEARCH_ONLY,
                    }
                ],
            },
        )
        write_text(
            self.root / "README.md",
            f"# {name}\n\nNo PET was measured here: these images are what a trained model makes of "
            f"people's MRI. {RESEARCH_ONLY}\n\n"
            "`sub-*.html` shows all of one person; `desc-synthetic` is PET in SUVR, the mean "
            "of all samples; `desc-spread` their standard deviation;\nthe `.tsv` "
            "the SUVR of regions; the `.json` beside each image the model and how it was trained.\n"
            "`participants.tsv` says to whom the model was not applied and why, and who differs "
            "from the people it was trained on.\n",
        )
        write_text(self.root / ".bidsignore", "*.html\nsub-*/figures\n*_stats.*\nprediction.json\n")
        write_table(self.root / "participants.tsv", people, ("participant_id", *_PARTICIPANTS))
        write_json(self.root / "participants.json", _PARTICIPANTS)

    def write_person(self, person: Applied) -> dict[str, Any]:
        """Write one person's images, tables and page; returns the row of participants.tsv."""
        x, grid = person.subject, self.record.settings.grid
        mask = _on_grid(person, paths.brain_mask(x)) > 0.5
        native = Native(person.registered, x, grid, mask)
        figures = self.root / f"sub-{x}" / "figures"
        figures.mkdir(parents=True)
        self._write_regions(person, native)
        shown = []
        for tracer, pet in person.pet.items():
            self._write_images(person, tracer, pet, native)
            rows = self._write_table(person, tracer, pet, native)
            picture = figures / f"sub-{x}_trc-{tracer}_desc-{SYNTHETIC}_pet.png"
            self._draw(picture, person, tracer, pet, mask)
            ligand = self.record.settings.tracers[tracer].ligand
            shown.append(page.Tracer(tracer, ligand, picture, rows))
        registration = figures / f"sub-{x}_desc-registration_T1w.jpg"
        shutil.copyfile(person.normalized / paths.flicker_picture(x), registration)
        files = (f for f in self.root.glob(f"sub-{x}/*/*") if f.suffix in (".gz", ".tsv"))
        text = page.render(
            person.status,
            self.record,
            model=self._model,
            use=RESEARCH_ONLY,
            sources=person.sources,
            warnings=person.warnings,
            tracers=shown,
            registration=registration,
            sampling=described(self.sampling),
            files=sorted(f.relative_to(self.root).as_posix() for f in files),
        )
        write_text(self.root / f"sub-{x}.html", text)
        return {
            "participant_id": f"sub-{x}",
            **{key: person.told.get(key) for key in ("age", "sex", "group")},
            "applied": "yes",
            "warnings": " ".join(person.warnings) or None,
        }

    def _write_images(self, person: Applied, tracer: str, pet: Synthetic, native: Native) -> None:
        """Write a tracer's PET and its spread in both spaces."""
        grid = self.record.settings.grid
        affine = atlas.grid_affine(grid.shape, grid.voxel_mm)
        mark = Kind.of_parts([person.status.kind, self.record.kind]).mark
        for desc, what, volume in (
            (SYNTHETIC, "synthetic PET", pet.mean),
            (SPREAD, "spread of samples", pet.spread),
        ):
            if volume is None:
                continue
            note = ", ".join(filter(None, [mark, what, "SUVR", self.record.method]))
            on_t1w = native.image(native.values(volume))
            for space, image, its in (
                (SPACES[0], on_t1w, native.affine),
                (SPACES[1], volume, affine),
            ):
                file = self._pet(person, f"trc-{tracer}_space-{space}_desc-{desc}_pet.nii.gz")
                compact = space == SPACES[0]  # of up to 100 million voxels
                save_nifti(file, image, its, note=note, compact=compact)
                write_json(beside(file, ".json"), self._sidecar(person, tracer, desc, space))

    def _write_table(
        self, person: Applied, tracer: str, pet: Synthetic, native: Native
    ) -> list[dict[str, Any]]:
        """Write the SUVR of regions; returns the rows."""
        rows = native.regional([native.values(sample) for sample in pet.samples])
        table = self._pet(person, f"trc-{tracer}_seg-relad_desc-{SYNTHETIC}_stats.tsv")
        write_table(table, rows, tuple(COLUMNS))
        about = self._sidecar(person, tracer, SYNTHETIC, SPACES[0])
        write_json(table.with_suffix(".json"), about | {"Description": _OF_TABLE} | COLUMNS)
        return rows

    def _pet(self, person: Applied, name: str) -> Path:
        """File of a person's PET, of this name after the label."""
        return self.root / f"sub-{person.subject}" / "pet" / f"sub-{person.subject}_{name}"

    def _write_regions(self, person: Applied, native: Native) -> None:
        """Write the regions of the tables as labels on the grid of the T1w."""
        x = person.subject
        file = self.root / f"sub-{x}" / "anat" / f"sub-{x}_space-{SPACES[0]}_seg-relad_dseg.nii.gz"
        save_nifti(file, native.regions, native.affine, note=person.status.kind.mark)
        rows = [{"index": index, "name": name} for name, index in atlas.REGIONS.items()]
        write_table(beside(file, ".tsv"), rows, ("index", "name"))
        about = {
            "Description": "Regions of relad's atlas, carried to the person's T1w",
            "SpatialReference": person.sources[Modality.T1W],
            SIMULATED_KEY: person.status.kind is Kind.SIMULATED,
        }
        write_json(beside(file, ".json"), about)

    def _draw(
        self, file: Path, person: Applied, tracer: str, pet: Synthetic, mask: np.ndarray
    ) -> None:
        images = {
            m: _on_grid(person, paths.preprocessed_mri(person.subject, m))
            for m in Modality
            if m in person.sources
        }
        window = self.record.settings.tracers[tracer].suvr_window
        windows = {f"synthetic {tracer}": (window[0], max(float(pet.mean.max()), window[0] + 1))}
        images[f"synthetic {tracer}"] = pet.mean
        if pet.spread is not None:
            windows["spread"] = (0.0, float(pet.spread.max()) or 1.0)
            images["spread"] = pet.spread
        note = self.record.note(person.status.kind)
        title = "\n".join(filter(None, [note, f"SYNTHETIC PET, sub-{person.subject}"]))
        draw(file, title, images, mask, windows)

    def _sidecar(self, person: Applied, tracer: str, desc: str, space: str) -> dict[str, Any]:
        """What an image is and what made it."""
        kind = Kind.of_parts([person.status.kind, self.record.kind])
        configured = self.record.settings.tracers[tracer]
        of = described(self.sampling)
        what = {
            SYNTHETIC: f"Synthetic PET in SUVR ({of}); it was not measured",
            SPREAD: f"Standard deviation in SUVR of each voxel of a synthetic PET ({of})",
        }[desc]
        return {
            "Description": f"{what}. {RESEARCH_ONLY}",
            "Synthetic": True,
            "Units": "unitless",
            "TracerName": configured.ligand,
            "WindowMinutes": list(configured.frames_min),
            "ReferenceRegion": regions.name_of(configured.reference_region),
            "SpatialReference": atlas.SPACE if space == SPACES[1] else person.sources["T1w"],
            "SkullStripped": True,
            "SourceScans": dict(person.sources),
            "Model": self._model,
            "Sampling": self.sampling,
            "Seed": self.seed,
            "IntendedUse": RESEARCH_ONLY,
            "Mark": self.record.note(person.status.kind) or None,
            "Warnings": list(person.warnings),
            "GeneratedBy": {"Name": self.step, "Version": __version__},
            SIMULATED_KEY: kind is not Kind.REAL,
        }


_OF_TABLE = (
    f"SUVR of regions of a synthetic PET, in the person's T1w; it was not measured. {RESEARCH_ONLY}"
)


def _on_grid(person: Applied, name: str) -> np.ndarray:
    return np.asarray(load_nifti(person.normalized / name, ndim=3).dataobj)
