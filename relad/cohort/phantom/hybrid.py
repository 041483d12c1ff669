"""All scans of one real head with simulated PET, written as LONI would deliver them, and the truth.

The head frame is that of the T1w. MRI is copied bit by bit and says nothing of a simulation; its
date, which a head's folder does not tell, is made up like that of the PET.
"""

from __future__ import annotations

import gzip
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from relad import fileio
from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import heads, labels
from relad.cohort.phantom.folder import Person
from relad.cohort.phantom.study import COLUMNS as LONI_COLUMNS
from relad.cohort.phantom.study import Plan, Visit
from relad.status import Kind

#: Header of the collection CSV: LONI's, and the person's own id.
COLUMNS = (*LONI_COLUMNS, "Own ID")
NOTE = "SIMULATED DATA: PET simulated in the anatomy of a real MRI"
#: From the middle of the brain to the point about which a head turns.
_BELOW = np.array([0.0, 8.0, -12.0])


class HeadVisit(Visit):
    """A real head's visit; :meth:`write` makes every file below a cohort's folder.

    Parameters
    ----------
    to_flair
        (4, 4) map of points of the T1w to the FLAIR.
    """

    def __init__(self, plan: Plan, one: Person, images: heads.Images, to_flair: np.ndarray):
        self.person = one
        self.images = images
        self.to_flair = to_flair
        self.volumes = heads.volumes_ml(images)
        self.lesions_ml = heads.lesions_ml(images)
        rng = person.stream(plan.seed, plan.cohort, one.name, "latent")
        centre = heads.middle(images)
        super().__init__(
            plan, one.ptid, one.name, heads.disease(rng, one, self.volumes, self.lesions_ml),
            centre + _BELOW, heads.brain(images, to_flair), heads.body(images, centre),
            space="T1w", group="", note=NOTE,
        )  # fmt: skip

    def write(self, out: Path) -> list[dict[str, Any]]:
        """Write scans and truth below ``out``; return the rows of the collection CSV."""
        loni, truth = self._begin(out)
        self._copy(loni, "T1w", self.person.t1w, 5)
        scans: dict[str, Any] = {"T1w": {"rigid_T1w_to_scan": np.eye(4).tolist()}}
        if self.person.flair is not None:
            self._copy(loni, "FLAIR", self.person.flair, 16)
            scans["FLAIR"] = {"rigid_T1w_to_scan": self.to_flair.tolist()}
        scans |= self._pets(loni, truth, np.eye(4))
        self._truth(truth, scans)
        return [{**row, "Own ID": self.person.name} for row in self.rows]

    def _copy(self, loni: Path, description: str, source: Path, minutes: int) -> None:
        """Copy an MRI, unpacked, as LONI has its NIfTI."""
        start = self.mri_start + timedelta(minutes=minutes)
        folder, image_id = self._list(loni, description, "MRI", "NiFTI", start)
        folder.mkdir(parents=True)
        name = f"{self.ptid}_MR_{description}_{start:%Y%m%d%H%M%S}000_S{image_id}_I{image_id}.nii"
        with gzip.open(source) as packed, (folder / name).open("wb") as file:
            shutil.copyfileobj(packed, file)

    def _truth(self, truth: Path, scans: dict[str, Any]) -> None:
        regions, affine = self.images.regions, self.brain.affine
        self._save(truth, "space-T1w_dseg", regions, affine)
        table = [{"index": value, "name": name} for name, value in labels.VALUES.items()]
        fileio.write_table(truth / f"sub-{self.label}_space-T1w_dseg.tsv", table, ("index", "name"))
        voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
        references = {}
        for name in dict.fromkeys(t.reference_region for t in self.plan.tracers.values()):
            mask = self.brain.reference(name)
            word = name.title().replace("_", "")
            self._save(truth, f"space-T1w_label-{word}_mask", mask, affine)
            references[name] = {"volume_ml": float(mask.sum()) * voxel_ml, "mean_suvr": 1.0}
        tissue = self.brain.tissue.sum(axis=1) * voxel_ml
        fileio.write_json(
            truth / "truth.json",
            {
                "note": Kind.HYBRID.note,
                **self._facts(),
                "own_id": self.person.name,
                "age": self.disease.age,
                "sex": self.disease.sex,
                # Of a person without FLAIR nobody knows; the usual load drives the PET.
                "lesion_load_ml": self.lesions_ml,
                "vascular": self.disease.vascular,
                "stage_from": heads.measures(self.volumes, self.disease.age),
                "volumes_ml": self.volumes,
                "tissue_ml": dict(zip(("grey", "white", "lesion"), tissue.tolist(), strict=True)),
                "references": references,
                "scans": scans,
            },
        )


def write_subject(
    plan: Plan, one: Person, images: heads.Images, to_flair: np.ndarray, out: Path
) -> list[dict[str, Any]]:
    """Write one person's scans and truth below ``out``; return the rows of the collection CSV."""
    return HeadVisit(plan, one, images, to_flair).write(out)
