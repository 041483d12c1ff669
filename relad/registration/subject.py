"""Registration of one subject, from a session's images to transforms and masks on disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from relad.errors import DataError, MachineError
from relad.fileio import no_room, scratch_folder, sha256_of, write_json
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.resample import grid_points
from relad.imaging.segmentation import Segmentation
from relad.registration import brain, engine, extraction, inputs, motion, rigid
from relad.registration.transforms import names, pet_names, read_affine
from relad.status import Modality, ScanStatus, State, SubjectStatus, is_simulated
from relad.study.provenance import describe
from relad.study.settings import PreprocessSettings, RegisterSettings, plain

#: Bytes that must be left for temporary files where a registration fails, else the disk is full.
_ROOM = 1 << 25


def report(status: SubjectStatus) -> list[str]:
    """Say on standard error what of a subject is missing or excluded; return what is excluded."""
    problems = list(status.problems())
    for _, line in problems:
        print(line, file=sys.stderr)
    return [line for state, line in problems if state is State.EXCLUDED]


class Subject:
    """Registration of one subject; ``status`` grows as it goes.

    Parameters
    ----------
    root
        Folder relative to which files are named in the status.
    subject
        Label without ``sub-``.
    settings
        Seed, tracers and section ``registration``; what else they hold is not read.
    averaged
        A PET of one image whose sidecar does not time it is the mean of its tracer's window.
    """

    def __init__(
        self,
        root: Path,
        subject: str,
        settings: RegisterSettings | PreprocessSettings,
        *,
        averaged: bool = False,
    ):
        self.root, self.subject = root, subject
        self.tracers, self.seed = settings.tracers, settings.seed
        self.options = settings.registration
        self.averaged = averaged
        self.names = names(subject)
        missing = State.MISSING
        self.status = SubjectStatus(
            subject,
            mri={m: ScanStatus(missing, f"no {m} in the session") for m in Modality},
            pet={
                t: ScanStatus(missing, "no PET of this tracer in the session")
                for t in settings.tracers
            },
        )

    def write(self, folder: Path, choose: Callable[[], inputs.Session]) -> None:
        """Register the chosen session into an empty folder, with status and provenance.

        What cannot be used is excluded in the status; nothing of it stays in the folder.
        """
        with scratch_folder() as scratch:
            try:
                self._register(choose(), folder, scratch)
            except DataError as error:
                _require_room(scratch, error)
                for path in folder.iterdir():
                    path.unlink()
                self.status.exclude(self._reason(error))
        self.status.write(folder)
        used = plain({"seed": self.seed, "tracers": self.tracers, "registration": self.options})
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
        status = self.status
        status.session = session.name
        scans = {Modality.T1W: session.t1w, Modality.FLAIR: session.flair, **session.pets}
        chosen = {key: path for key, path in scans.items() if path}
        if session.brain_mask:
            chosen["brain_mask"] = session.brain_mask
        own = session.segmentation
        if own is not None and own.is_file():
            chosen |= {"segmentation": own, "segmentation_table": session.segmentation_table}
        elif own is not None:
            status.segmentation.reason = f"there is no {own}"
        status.inputs = {str(key): self._named(path) for key, path in chosen.items()}
        head = status.mri[Modality.T1W]
        head.simulated = _on(session.t1w, lambda: is_simulated(session.t1w))
        t1w = _on(session.t1w, lambda: engine.correct_bias(load_nifti(session.t1w, ndim=3)))
        save_nifti(folder / self.names["t1w"], np.asarray(t1w.dataobj), t1w.affine, note=head.mark)
        t1w_low = engine.working_copy(t1w, self.options.working_voxel_mm)
        brain_low = _on(session.t1w, lambda: self._brain(t1w, t1w_low, session, folder, scratch))
        self._set(head, {})

        if "segmentation" in chosen:
            self._try(
                status.segmentation,
                chosen["segmentation"],
                lambda path: self._segmentation(path, session.segmentation_table, t1w, folder),
                [],
                scratch,
            )
        if session.flair:
            self._try(
                status.mri[Modality.FLAIR],
                session.flair,
                lambda path: self._flair(path, t1w_low, brain_low, folder, scratch),
                [folder / self.names[key] for key in ("flair", "flair_to_t1w")],
                scratch,
            )
        for tracer in session.unpaired.keys() & status.pet.keys() - session.pets.keys():
            status.pet[tracer].reason = session.unpaired[tracer]
        for tracer, path in session.pets.items():
            self._try(
                status.pet[tracer],
                path,
                lambda path, t=tracer: self._pet(t, path, t1w_low, brain_low, folder, scratch),
                [folder / name for name in pet_names(self.subject, tracer).values()],
                scratch,
            )

    def _set(self, scan: ScanStatus, numbers: dict[str, Any]) -> None:
        scan.state, scan.reason, scan.numbers = State.OK, None, numbers

    def _try(
        self,
        scan: ScanStatus,
        path: Path,
        work: Callable[[Path], dict[str, Any]],
        files: list[Path],
        scratch: Path,
    ) -> None:
        """Fill in one image's status: what ``work`` measured, or why it was excluded."""
        try:
            scan.simulated = _on(path, lambda: is_simulated(path))
            self._set(scan, _on(path, lambda: work(path)))
        except DataError as error:
            _require_room(scratch, error)
            for file in files:
                file.unlink(missing_ok=True)
            scan.exclude([self._reason(error)])

    def _brain(
        self,
        t1w: nib.Nifti1Image,
        t1w_low: Any,
        session: inputs.Session,
        folder: Path,
        scratch: Path,
    ) -> np.ndarray:
        """Write the brain mask and the transforms to MNI; return the mask on the working grid."""
        setting = self.options.brain_extraction
        found = extraction.extract(
            setting, t1w, t1w_low, session.brain_mask, scratch, seed=self.seed
        )
        self.status.brain_mask_from = found.origin
        if found.unfit:
            self.status.brain_mask_from += f", since {self._reason(found.unfit)}"
        mask = found.mask
        low = extraction.on_low(mask, t1w.affine, t1w_low)
        if not low.any():
            raise DataError("no brain was found in the T1w")
        prefix, head = scratch / "mni", scratch / "head"
        deform = self.options.to_mni == "syn"
        brain.to_mni(t1w_low, low, prefix, seed=self.seed, deform=deform)
        affine = Path(f"{prefix}0GenericAffine.mat")
        # What the whole head says of where the brain is, whoever found the mask.
        brain.head_to_mni(t1w_low, affine, head, seed=self.seed)
        overlap = brain.overlap(t1w_low, low, head)
        shutil.move(affine, folder / self.names["t1w_to_mni_affine"])
        if deform:
            shutil.move(f"{prefix}1Warp.nii.gz", folder / self.names["t1w_to_mni_warp"])
            shutil.move(f"{prefix}1InverseWarp.nii.gz", folder / self.names["mni_to_t1w_warp"])
        mark = self.status.mri[Modality.T1W].mark
        save_nifti(folder / self.names["brain_mask"], mask, t1w.affine, note=mark)
        voxel_ml = abs(float(np.linalg.det(t1w.affine[:3, :3]))) / 1000
        self.status.numbers["brain_volume_ml"] = round(float(mask.sum()) * voxel_ml, 1)
        self.status.numbers["brain_overlap_dice"] = round(overlap, 4)
        return low

    def _segmentation(
        self, path: Path, table: Path, t1w: nib.Nifti1Image, folder: Path
    ) -> dict[str, Any]:
        """Keep the person's own labels where they lie in the T1w's space; return what they are."""
        own = Segmentation.read(path, table)
        brain_mask = load_nifti(folder / self.names["brain_mask"], allow_constant=True)
        in_brain = own.require_space(t1w, np.asarray(brain_mask.dataobj) > 0.5)
        files = [folder / self.names[key] for key in ("segmentation", "segmentation_table")]
        own.write(*files, note=self.status.mri[Modality.T1W].mark)
        sums = {"labels_sha256": sha256_of(path), "table_sha256": sha256_of(table)}
        return {"in_brain": in_brain, **sums}

    def _flair(
        self, path: Path, t1w_low: Any, brain_low: np.ndarray, folder: Path, scratch: Path
    ) -> dict[str, Any]:
        """Correct the FLAIR and register it to the T1w; nothing is measured of it yet."""
        flair = engine.correct_bias(load_nifti(path, ndim=3))
        mark = self.status.mri[Modality.FLAIR].mark
        save_nifti(folder / self.names["flair"], np.asarray(flair.dataobj), flair.affine, note=mark)
        flair_low = engine.working_copy(flair, self.options.working_voxel_mm)
        rigid.flair_to_t1w(t1w_low, flair_low, scratch / "flair", seed=self.seed, brain=brain_low)
        shutil.move(scratch / "flair0GenericAffine.mat", folder / self.names["flair_to_t1w"])
        return {}

    def _pet(
        self,
        tracer: str,
        path: Path,
        t1w_low: Any,
        brain_low: np.ndarray,
        folder: Path,
        scratch: Path,
    ) -> dict[str, Any]:
        """Realign, average and register one tracer's PET; return what was measured."""
        image = load_nifti(path)
        data = np.asarray(image.dataobj)
        if data.ndim == 3:
            data = data[..., None]
        if data.ndim != 4:
            raise DataError(f"has {data.ndim} dimensions where 3 or 4 are needed")
        window = self.tracers[tracer].frames_min
        meta = inputs.sidecar(path)
        inputs.check_tracer(meta, tracer, self.tracers)
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
        every = [np.ascontiguousarray(data[..., i]) for i in range(data.shape[3])]
        frames = [every[i] for i in chosen.indices]
        for index, frame in zip(chosen.indices, frames, strict=True):
            if not frame.max() > 0:
                raise DataError(f"frame {index} is empty")
        moved = motion.realign(every, image.affine, chosen.reference)
        poses = [self._pose(moved[i], i) for i in chosen.indices]
        points = grid_points(frames[0].shape, image.affine)
        mean = motion.average_at(points, frames, image.affine, poses, chosen.weights)
        prefix = scratch / tracer
        rigid.pet_to_t1w(t1w_low, brain_low, mean, image.affine, prefix, seed=self.seed)

        files = pet_names(self.subject, tracer)
        shutil.move(f"{prefix}0GenericAffine.mat", folder / files["pet_to_t1w"])
        mark = self.status.pet[tracer].mark
        save_nifti(folder / files["frames"], np.stack(frames, axis=-1), image.affine, note=mark)
        save_nifti(folder / files["mean"], mean, image.affine, note=mark)
        matrix = read_affine(folder / files["pet_to_t1w"])
        at = np.argwhere(brain_low).mean(axis=0)
        centre = apply_affine(matrix, apply_affine(engine.affine_of(t1w_low), at))
        told = [
            {
                "index": index,
                "start_s": chosen.starts[index],
                "duration_s": chosen.durations[index],
                "in_window": index in chosen.indices,
                **_motion_of(found, centre),
            }
            for index, found in enumerate(moved)
        ]
        corrected = self.options.motion_correction
        about = {"corrected": corrected, "reference": chosen.reference}
        write_json(folder / files["motion"], {**about, "frames": told})
        seen = [told[i]["displacement_mm"] for i in chosen.indices]
        start_s, end_s = chosen.span
        return {
            "frames": chosen.indices,
            "timing": ("averaged by the source" if source_says_averaged else "stated by the user")
            if is_window_mean
            else "sidecar",
            "start_s": start_s,
            "end_s": end_s,
            "motion_mm": None if None in seen else max(seen),
            "motion_corrected": corrected,
        }

    def _pose(self, found: np.ndarray | None, index: int) -> np.ndarray:
        """Pose at which a frame of the window is averaged; where it lies, if the study says so."""
        if not self.options.motion_correction:
            return np.eye(4)
        if found is None:
            raise DataError(
                f"frame {index} cannot be realigned: it shows too little of the head, or has moved "
                "too far"
            )
        return found


def _require_room(scratch: Path, error: DataError) -> None:
    """Blame a full disk before a scan: what ANTs could not write there looks like a failed fit."""
    if full := no_room(scratch, _ROOM):
        raise MachineError(
            f"{full}, so that {error.what}", file=scratch,
            hint="make room, or name another place by the environment variable TMPDIR",
        ) from error  # fmt: skip


def _motion_of(found: np.ndarray | None, centre: np.ndarray) -> dict[str, Any]:
    """Motion of one frame about the head's centre, as numbers; None where none was found."""
    keys = ("displacement_mm", "translation_mm", "rotation_deg", "reference_to_frame_ras_mm")
    if found is None:
        return dict.fromkeys(keys)
    shift, turn = motion.motion_at(found, centre)
    displacement = round(motion.displacement_mm(found, centre), 3)
    values = (displacement, shift.round(3).tolist(), turn.round(4).tolist(),
              found.round(9).tolist())  # fmt: skip
    return dict(zip(keys, values, strict=True))


def _on(path: Path, work: Callable[[], Any]) -> Any:
    """Run ``work``; an error of data that names no file was about ``path``."""
    try:
        return work()
    except DataError as error:
        if error.file is None:
            raise DataError(error.what, file=path, hint=error.hint) from None
        raise
