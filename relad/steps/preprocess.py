"""Preprocess one person's scans, without Snakemake and without a BIDS dataset.

  relad preprocess --t1 T1w.nii.gz --flair FLAIR.nii.gz --pet tau=tau.nii.gz amyloid=av45.nii.gz OUT

Does what `relad register` and `relad normalize` do, by the same code and the same configuration, to
any NIfTI images of one visit, and judges the result by the limits of `relad qc`; its overrides are
of a cohort's subjects. Only the T1w is needed; FLAIR and PET are used where they are given. A
tracer's name is one of the configuration's (section tracers). PET is not brought to another
resolution: a study's psf belongs to its cohorts. Scans that say they are simulated, in their
sidecar or header, leave the mark on what is made of them.

A PET needs its frames' times: the BIDS sidecar beside it (the same name with .json) states
FrameTimesStart, FrameDuration and InjectionStart in seconds, and the frames inside the tracer's
window are realigned and averaged. A static image without that is taken as it is if you state that
it is the mean of the window already: --pet-window-already-averaged.

Labels of your own in the space of the T1w (--segmentation, --segmentation-table) give what the
configuration takes from them: reference regions, and the regions of the evaluation.

OUT holds T1w, FLAIR, PET in SUVR and the brain mask on the MNI grid, sub-LABEL_qc.png, status.json,
and in OUT/registered the transforms and the images on their own grids. The exit status is 1 where a
scan was given and failed; status.json has the reason and the picture shows it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from relad.cli import add_settings
from relad.errors import DataError, ReladError
from relad.fileio import beside, whole_folder
from relad.qc.limits import judge
from relad.registration import engine, inputs
from relad.registration.subject import Subject, report
from relad.status import SubjectStatus
from relad.steps.normalize import write_normalized
from relad.study import paths
from relad.study.config import load_settings
from relad.study.settings import PreprocessSettings, Tracer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, nargs="?", help="folder to write")
    parser.add_argument("--t1", metavar="FILE", type=Path, required=True, help="T1w, whole head")
    parser.add_argument("--flair", metavar="FILE", type=Path, help="T2-FLAIR")
    parser.add_argument(
        "--pet",
        metavar="TRACER=FILE",
        nargs="+",
        default=[],
        help="PET, for example tau=tau.nii.gz amyloid=av45.nii.gz",
    )
    parser.add_argument(
        "--pet-window-already-averaged",
        action="store_true",
        help="a static PET whose sidecar does not time it is the mean of its tracer's window",
    )
    parser.add_argument(
        "--brain-mask", metavar="FILE", type=Path, help="your brain mask, on the grid of the T1w"
    )
    parser.add_argument(
        "--segmentation",
        metavar="FILE",
        type=Path,
        help="your label image in the space of the T1w, such as FreeSurfer's aparc+aseg",
    )
    parser.add_argument(
        "--segmentation-table",
        metavar="FILE",
        type=Path,
        help="names of its labels: a .tsv with index and name (default: the one beside it), or "
        "FreeSurferColorLUT.txt",
    )
    parser.add_argument(
        "--subject", metavar="LABEL", default="one", help="used in file names (default: one)"
    )
    add_settings(parser)


def pet_files(given: Sequence[str], tracers: Mapping[str, Tracer]) -> dict[str, Path]:
    """Tracer id -> image, from words such as ``tau=tau.nii.gz``.

    Raises
    ------
    ReladError
        Where a word is none of these, or its tracer unknown or given twice.
    """
    found: dict[str, Path] = {}
    for word in given:
        tracer, equals, file = word.partition("=")
        if not equals or not file:
            raise ReladError(f"--pet takes TRACER=FILE, not {word!r}")
        if tracer not in tracers:
            raise ReladError(
                f"{tracer!r} is not one of the tracers", hint=f"known tracers: {', '.join(tracers)}"
            )
        if tracer in found:
            raise ReladError(f"--pet names {tracer} twice")
        found[tracer] = Path(file)
    return found


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.settings, PreprocessSettings)
    if args.out is None:  # --pet, which takes several words, has taken OUT too
        if not args.pet or "=" in args.pet[-1]:
            raise ReladError("OUT is missing: the folder to write")
        args.out = Path(args.pet.pop())
    pets = pet_files(args.pet, settings.tracers)
    if not (args.subject.isascii() and args.subject.isalnum()):
        raise ReladError(f"--subject takes letters and digits, not {args.subject!r}")
    if args.segmentation_table is not None and args.segmentation is None:
        raise ReladError("--segmentation-table needs --segmentation, whose labels it names")
    table = args.segmentation_table
    if args.segmentation is not None and table is None:
        table = inputs.table_beside(args.segmentation)
    for path in (args.t1, args.flair, args.brain_mask, args.segmentation, *pets.values()):
        if path is not None and not path.is_file():
            raise ReladError("no such image", file=path)
    engine.configure(settings.registration.threads, settings.seed)
    if args.brain_mask is not None:
        registration = replace(settings.registration, brain_extraction="derivatives")
        settings = replace(settings, registration=registration)
    own = {"segmentation": args.segmentation, "segmentation_table": table}
    session = inputs.Session(None, args.t1, args.flair, pets, args.brain_mask, **own)
    averaged = args.pet_window_already_averaged
    status = preprocess(session, args.out, args.subject, settings, averaged=averaged)
    return 1 if report(status) else 0


def preprocess(
    session: inputs.Session,
    out: Path,
    subject: str,
    settings: PreprocessSettings,
    *,
    averaged: bool = False,
) -> SubjectStatus:
    """Register, normalise and judge one person's images.

    Parameters
    ----------
    session
        The images.
    out
        Folder to write.
    subject
        Label for file names.
    settings
        Of all three steps.
    averaged
        A static PET that nothing times is the mean of its window.

    Raises
    ------
    DataError
        If the T1w or the brain mask cannot be used: there is nothing to show then.
    """
    step = Subject(Path(), subject, settings, averaged=averaged)
    with whole_folder(out, mark="status.json") as folder:
        registered = folder / "registered"
        registered.mkdir()
        print(f"sub-{subject}: registering", file=sys.stderr)
        step.write(registered, lambda: session)
        if not step.status.ok:
            raise DataError(step.status.reason)
        print(f"sub-{subject}: resampling to MNI", file=sys.stderr)
        status = judge(write_normalized(registered, folder, subject, settings, {}), settings.qc)
        _remove_unusable(folder, status)
        status.write(folder)
    return status


def _remove_unusable(folder: Path, status: SubjectStatus) -> None:
    """Leave no image behind that its limits exclude; the picture still shows it."""
    names = {t: paths.preprocessed_pet(status.subject, t) for t in status.pet}
    names |= {m: paths.preprocessed_mri(status.subject, m) for m in status.mri}
    unfit = [name for key, name in names.items() if not (status.ok and status.scans[key].ok)]
    of_all = [paths.brain_mask(status.subject), paths.own_regions(status.subject)]
    for name in (*unfit, *([] if status.ok else of_all)):
        (folder / name).unlink(missing_ok=True)
        beside(folder / name, ".json").unlink(missing_ok=True)
