"""Registration of one subject, from a session's images to transforms and masks on disk."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from relad.errors import DataError
from relad.fileio import load_nifti, save_nifti, write_json
from relad.imaging.resample import apply_affine, grid_points, sample
from relad.registration import brain, engine, extraction, inputs, motion, rigid
from relad.registration.transforms import names, pet_names, read_affine
from relad.study.provenance import describe


def report(status: Mapping[str, Any]) -> list[str]:
    """Say on standard error what of a subject is missing or excluded; return what is excluded."""
    subject = f"sub-{status['subject']}"
    lines = []
    if status["status"] != "ok":
        lines.append(("excluded", f"{subject}: excluded: {status['reason']}"))
    else:
        for name, entry in {**status["mri"], **status["tracers"]}.items():
            if entry["status"] != "ok":
                line = f"{subject}: {name} {entry['status']}: {entry['reason']}"
                lines.append((entry["status"], line))
    for _, line in lines:
        print(line, file=sys.stderr)
    return [line for kind, line in lines if kind == "excluded"]


class Subject:
    """Registration of one subject; ``status`` grows as it goes.

    Parameters
    ----------
    root
        Folder relative to which files are named in the status.
    subject
        Label without ``sub-``.
    settings
        Sections ``seed``, ``tracers`` and ``registration``.
    simulated
        Whether the scans are.
    averaged
        A PET of one image whose sidecar does not time it is the mean of its tracer's window.
    """

    def __init__(
        self,
        root: Path,
        subject: str,
        settings: Mapping[str, Any],
        *,
        simulated: bool,
        averaged: bool = False,
    ):
        self.root, self.subject = root, subject
        self.settings = settings
        self.averaged = averaged
        self.seed: int = settings["seed"]
        self.voxel_mm: float = settings["registration"]["working_voxel_mm"]
        self.names = names(subject)
        self.status: dict[str, Any] = {
            "subject": subject,
            "session": None,
            "status": "ok",
            "reason": None,
            "simulated": simulated,
            "mri": {m: {"status": "missing", "reason": f"no {m} in the session"}
                    for m in ("T1w", "FLAIR")},
            "tracers": {t: {"status": "missing", "reason": "no PET of this tracer in the session"}
                        for t in settings["tracers"]},
            "inputs": {},
            "qc": {},
        }  # fmt: skip

    def write(self, folder: Path, choose: Callable[[], inputs.Session]) -> None:
        """Register the chosen session into an empty folder, with status and provenance.

        What cannot be used is excluded in the status; nothing of it stays in the folder.
        """
        with tempfile.TemporaryDirectory() as scratch:
            try:
                self._register(choose(), folder, Path(scratch))
            except DataError as error:
                for path in folder.iterdir():
                    path.unlink()
                self.status.update(status="excluded", reason=self._reason(error))
                self.status["mri"]["T1w"] = {"status": "excluded", "reason": self.status["reason"]}
        write_json(folder / "status.json", self.status)
        used = {key: self.settings[key] for key in ("seed", "tracers", "registration")}
        write_json(
            folder / "provenance.json",
            describe("register", used, "antspyx", "nibabel", "nilearn", "numpy", "scipy"),
        )

    def _reason(self, error: DataError) -> str:
        """The error's message, its file named relative to the dataset."""
        file = Path(error.file or "")
        where = file.relative_to(self.root) if file.is_relative_to(self.root) else file.name
        return f"{where}: {error.what}" if error.file else error.what

    def _named(self, path: Path) -> str:
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def _register(self, session: inputs.Session, folder: Path, scratch: Path) -> None:
        self.status["session"] = session.name
        chosen = {"T1w": session.t1w, "FLAIR": session.flair, **session.pets}
        chosen["brain_mask"] = session.brain_mask
        self.status["inputs"] = {key: self._named(path) for key, path in chosen.items() if path}
        t1w = _on(session.t1w, lambda: engine.correct_bias(load_nifti(session.t1w, ndim=3)))
        save_nifti(folder / self.names["t1w"], np.asarray(t1w.dataobj), t1w.affine)
        t1w_low = engine.working_copy(t1w, self.voxel_mm)
        mask = _on(session.t1w, lambda: self._brain(t1w, t1w_low, session, folder, scratch))
        self.status["mri"]["T1w"] = {"status": "ok", "reason": None}

        if session.flair:
            self.status["mri"]["FLAIR"] = self._try(
                session.flair,
                lambda path: self._flair(path, t1w_low, folder, scratch),
                [folder / self.names[key] for key in ("flair", "flair_to_t1w")],
            )
        for tracer in session.unpaired.keys() & self.status["tracers"].keys() - session.pets.keys():
            self.status["tracers"][tracer]["reason"] = session.unpaired[tracer]
        low = engine.affine_of(t1w_low)
        mask_low = sample(mask.astype(np.float32), t1w.affine, grid_points(t1w_low.shape, low))
        for tracer, path in session.pets.items():
            self.status["tracers"][tracer] = self._try(
                path,
                lambda path, t=tracer: self._pet(t, path, t1w_low, mask_low > 0.5, folder, scratch),
                [folder / name for name in pet_names(self.subject, tracer).values()],
            )

    def _try(
        self, path: Path, work: Callable[[Path], dict[str, Any]], files: list[Path]
    ) -> dict[str, Any]:
        """Entry of one image's status: what ``work`` returns, or why it was excluded."""
        try:
            return _on(path, lambda: work(path))
        except DataError as error:
            for file in files:
                file.unlink(missing_ok=True)
            return {"status": "excluded", "reason": self._reason(error)}

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
        # First: a command that fails does so before the work.
        setting = self.settings["registration"].get("brain_extraction", "auto")
        unfit = None
        try:
            given = extraction.given_mask(setting, t1w, session.brain_mask, scratch)
        except DataError as error:
            if setting != "auto":
                raise
            given, unfit = None, self._reason(error)  # a mask that nobody asked for
        brain.to_mni(t1w_low, prefix, seed=self.seed)
        mask, by_affine = brain.carry_back(t1w.shape, t1w.affine, prefix)
        compared = by_affine
        self.status["brain_mask_from"] = f"template, since {unfit}" if unfit else "template"
        if given is not None:
            mask, compared = given, mask
            self.status["brain_mask_from"] = (
                "derivatives" if setting in ("auto", "derivatives") else setting
            )
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

    def _flair(self, path: Path, t1w_low: Any, folder: Path, scratch: Path) -> dict[str, Any]:
        """Correct the FLAIR and register it to the T1w; return its entry in the status."""
        flair = engine.correct_bias(load_nifti(path, ndim=3))
        save_nifti(folder / self.names["flair"], np.asarray(flair.dataobj), flair.affine)
        flair_low = engine.working_copy(flair, self.voxel_mm)
        rigid.flair_to_t1w(t1w_low, flair_low, scratch / "flair", seed=self.seed)
        shutil.move(scratch / "flair0GenericAffine.mat", folder / self.names["flair_to_t1w"])
        return {"status": "ok", "reason": None}

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
        window = self.settings["tracers"][tracer]["frames_min"]
        meta = inputs.sidecar(path)
        source_says_averaged = meta.get("SourceFramesAveraged") is True
        # An archive's averaged product may carry the times of one frame; the user's word counts for
        # images that nothing times.
        is_window_mean = data.shape[3] == 1 and (
            source_says_averaged or (self.averaged and not inputs.is_timed(meta))
        )
        chosen = (
            inputs.whole_window(window)
            if is_window_mean
            else inputs.choose_frames(meta, data.shape[3], window)
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
            "timing": ("averaged by the source" if source_says_averaged else "stated by the user")
            if is_window_mean
            else "sidecar",
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
