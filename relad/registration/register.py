"""Register one subject's scans.

Reads the earliest session of BIDS/sub-LABEL with T1w and FLAIR and writes to OUT:

- T1w and FLAIR corrected for the bias field (N4), on their own grids
- the brain mask on the T1w grid (from MNI152 by affine and SyN; or yours, if there is
  BIDS/derivatives/*/sub-LABEL/ses-*/anat/*_desc-brain_mask.nii.gz on the T1w grid)
- FLAIR to T1w (rigid), T1w to MNI (affine, then SyN if registration.to_mni says so)
- per tracer the frames inside its window, the motion between them, their mean, and PET to T1w
  (rigid)
- status.json: what was used, what was excluded and why, QC numbers

A scan that cannot be used excludes its subject (MRI) or its tracer (PET) with the reason in
status.json; the exit status is 0 all the same, so that the cohort goes on.
Transforms are ITK's: from-A_to-B_mode-image resamples an image of space A onto a grid of B.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from relad.cli import add_settings
from relad.config import load_settings
from relad.errors import DataError, ReladError
from relad.fileio import load_nifti, read_json, save_nifti, whole_folder, write_json
from relad.provenance import describe
from relad.registration import brain, engine, inputs, motion, rigid
from relad.registration.transforms import names, pet_names, read_affine
from relad.resample import apply_affine, grid_points, sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bids", metavar="BIDS", type=Path, help="BIDS dataset")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of this subject")
    parser.add_argument("--subject", metavar="LABEL", required=True, help="without sub-")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    if not (args.bids / "dataset_description.json").exists():
        raise ReladError("no BIDS dataset (dataset_description.json is missing)", file=args.bids)
    engine.configure(settings["registration"]["threads"], settings["seed"])
    status = register(args.bids, args.out, args.subject, settings)
    if status["status"] != "ok":
        print(f"sub-{args.subject}: excluded: {status['reason']}", file=sys.stderr)
    for tracer, entry in status["tracers"].items():
        if entry["status"] != "ok":
            print(f"sub-{args.subject}: {tracer} {entry['status']}: {entry['reason']}",
                  file=sys.stderr)  # fmt: skip


def register(bids: Path, out: Path, subject: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Register one subject and write its folder; see the module's description.

    Returns
    -------
    The content of ``status.json``.
    """
    step = Subject(bids, subject, settings)
    with whole_folder(out) as folder, tempfile.TemporaryDirectory() as scratch:
        try:
            step.register(folder, Path(scratch))
        except DataError as error:
            for path in folder.iterdir():
                path.unlink()
            step.status.update(status="excluded", reason=step.reason(error))
        write_json(folder / "status.json", step.status)
        used = {key: settings[key] for key in ("seed", "tracers", "registration")}
        write_json(
            folder / "provenance.json",
            describe("register", used, "antspyx", "nibabel", "nilearn", "numpy", "scipy"),
        )
    return step.status


def simulated(bids: Path) -> bool:
    """Whether a BIDS dataset says of itself that it is simulated."""
    description = read_json(bids / "dataset_description.json")
    return "simulated" in str(description.get("Name", "")).lower()


class Subject:
    """Registration of one subject; ``status`` grows as it goes."""

    def __init__(self, bids: Path, subject: str, settings: Mapping[str, Any]):
        self.bids, self.subject = bids, subject
        self.settings = settings
        self.seed: int = settings["seed"]
        self.voxel_mm: float = settings["registration"]["working_voxel_mm"]
        self.names = names(subject)
        self.status: dict[str, Any] = {
            "subject": subject,
            "session": None,
            "status": "ok",
            "reason": None,
            "simulated": simulated(bids),
            "tracers": {t: {"status": "missing", "reason": "no PET of this tracer in the session"}
                        for t in settings["tracers"]},
            "inputs": {},
            "qc": {},
        }  # fmt: skip

    def reason(self, error: DataError) -> str:
        """The error's message, its file named relative to the dataset."""
        file = Path(error.file or "")
        where = file.relative_to(self.bids) if file.is_relative_to(self.bids) else file.name
        return f"{where}: {error.what}" if error.file else error.what

    def register(self, folder: Path, scratch: Path) -> None:
        session = inputs.choose_session(self.bids, self.subject, self.settings["tracers"])
        self.status["session"] = session.name
        chosen = {"T1w": session.t1w, "FLAIR": session.flair, **session.pets}
        if session.brain_mask:
            chosen["brain_mask"] = session.brain_mask
        self.status["inputs"] = {
            key: path.relative_to(self.bids).as_posix() for key, path in chosen.items()
        }
        t1w = _on(session.t1w, lambda: engine.correct_bias(load_nifti(session.t1w, ndim=3)))
        flair = _on(session.flair, lambda: engine.correct_bias(load_nifti(session.flair, ndim=3)))
        save_nifti(folder / self.names["t1w"], np.asarray(t1w.dataobj), t1w.affine)
        save_nifti(folder / self.names["flair"], np.asarray(flair.dataobj), flair.affine)
        t1w_low = engine.working_copy(t1w, self.voxel_mm)

        mask = _on(session.t1w, lambda: self._brain(t1w, t1w_low, session, folder, scratch))
        _on(session.flair, lambda: self._flair(flair, t1w_low, folder, scratch))
        low = engine.affine_of(t1w_low)
        mask_low = sample(mask.astype(np.float32), t1w.affine, grid_points(t1w_low.shape, low))
        for tracer, path in session.pets.items():
            try:
                entry = _on(
                    path,
                    lambda t=tracer, p=path: self._pet(
                        t, p, t1w_low, mask_low > 0.5, folder, scratch
                    ),
                )
            except DataError as error:
                for name in pet_names(self.subject, tracer).values():
                    (folder / name).unlink(missing_ok=True)
                entry = {"status": "excluded", "reason": self.reason(error)}
            self.status["tracers"][tracer] = entry

    def _brain(
        self,
        t1w: nib.Nifti1Image,
        t1w_low: Any,
        session: inputs.Session,
        folder: Path,
        scratch: Path,
    ) -> np.ndarray:
        """Register to MNI; write the transforms and the brain mask (x, y, z), and return it."""
        prefix = scratch / "mni"
        brain.to_mni(t1w_low, prefix, seed=self.seed)
        mask, by_affine = brain.carry_back(t1w.shape, t1w.affine, prefix)
        compared = by_affine
        if session.brain_mask:
            given = load_nifti(session.brain_mask, ndim=3)
            if given.shape != t1w.shape or not np.allclose(given.affine, t1w.affine, atol=1e-2):
                raise DataError("is not on the grid of the T1w", file=session.brain_mask)
            mask, compared = np.asarray(given.dataobj) > 0.5, mask
        if not mask.any():
            raise DataError("no brain was found; T1w to MNI has failed")
        shutil.move(f"{prefix}0GenericAffine.mat", folder / self.names["t1w_to_mni_affine"])
        if self.settings["registration"]["to_mni"] == "syn":
            shutil.move(f"{prefix}1Warp.nii.gz", folder / self.names["t1w_to_mni_warp"])
            shutil.move(f"{prefix}1InverseWarp.nii.gz", folder / self.names["mni_to_t1w_warp"])
        save_nifti(folder / self.names["brain_mask"], mask, t1w.affine)
        voxel_ml = abs(float(np.linalg.det(t1w.affine[:3, :3]))) / 1000
        self.status["qc"]["brain_volume_ml"] = round(float(mask.sum()) * voxel_ml, 1)
        self.status["qc"]["brain_overlap_dice"] = round(dice(mask, compared), 4)
        return mask

    def _flair(self, flair: nib.Nifti1Image, t1w_low: Any, folder: Path, scratch: Path) -> None:
        flair_low = engine.working_copy(flair, self.voxel_mm)
        rigid.flair_to_t1w(t1w_low, flair_low, scratch / "flair", seed=self.seed)
        shutil.move(scratch / "flair0GenericAffine.mat", folder / self.names["flair_to_t1w"])

    def _pet(
        self,
        tracer: str,
        path: Path,
        t1w_low: Any,
        brain_low: np.ndarray,
        folder: Path,
        scratch: Path,
    ) -> dict[str, Any]:
        """Realign, average and register one tracer's PET; return its entry in the status."""
        image = load_nifti(path)
        data = np.asarray(image.dataobj)
        if data.ndim == 3:
            data = data[..., None]
        if data.ndim != 4:
            raise DataError(f"has {data.ndim} dimensions where 3 or 4 are needed")
        chosen = inputs.choose_frames(
            inputs.sidecar(path), data.shape[3], self.settings["tracers"][tracer]["frames_min"]
        )
        frames = [np.ascontiguousarray(data[..., i]) for i in chosen.indices]
        for index, frame in zip(chosen.indices, frames, strict=True):
            if not frame.max() > 0:
                raise DataError(f"frame {index} is empty")
        moved = motion.realign(frames, image.affine)
        mean = motion.average(frames, image.affine, moved, chosen.durations)
        prefix = scratch / tracer
        rigid.pet_to_t1w(t1w_low, brain_low, mean, image.affine, prefix, seed=self.seed)

        files = pet_names(self.subject, tracer)
        shutil.move(f"{prefix}0GenericAffine.mat", folder / files["pet_to_t1w"])
        save_nifti(folder / files["frames"], np.stack(frames, axis=-1), image.affine)
        save_nifti(folder / files["mean"], mean, image.affine)
        matrix = read_affine(folder / files["pet_to_t1w"])
        at = np.argwhere(brain_low).mean(axis=0)
        centre = apply_affine(matrix, apply_affine(engine.affine_of(t1w_low), at))
        motions = [motion.displacement_mm(m, centre) for m in moved]
        write_json(
            folder / files["motion"],
            {
                "frames": [
                    {
                        "index": index,
                        "start_s": start,
                        "duration_s": duration,
                        "displacement_mm": round(displacement, 3),
                        "reference_to_frame_ras_mm": m.round(9).tolist(),
                    }
                    for index, start, duration, displacement, m in zip(
                        chosen.indices, chosen.starts, chosen.durations, motions, moved, strict=True
                    )
                ]
            },
        )
        return {
            "status": "ok",
            "reason": None,
            "frames": chosen.indices,
            "start_s": chosen.starts[0],
            "end_s": chosen.starts[-1] + chosen.durations[-1],
            "motion_mm": round(max(motions), 3),
        }


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two boolean masks; 0 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 0.0


def _on(path: Path, work: Callable[[], Any]) -> Any:
    """Run ``work``; an error of data that names no file was about ``path``."""
    try:
        return work()
    except DataError as error:
        if error.file is None:
            raise DataError(error.what, file=path, hint=error.hint) from None
        raise
