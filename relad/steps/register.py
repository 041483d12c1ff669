"""Register one subject's scans.

Reads the scans of BIDS/sub-LABEL that pairs.tsv of `relad ingest` pairs, or else those of the most
complete session, the earliest of several, and writes to OUT:

- T1w and FLAIR corrected for the bias field (N4), on their own grids
- the brain mask on the T1w grid, by registration.brain_extraction: yours, if there is
  BIDS/derivatives/*/sub-LABEL/ses-*/anat/*_desc-brain_mask.nii.gz on the T1w grid; else that of
  deepbet, a trained network; or that of a command, such as "mri_synthstrip -i {t1w} -m {mask}"
- the person's own segmentation, if there is one in the space of the T1w: a *_dseg.nii.gz of the
  derivatives, or what segmentation.labels names (FreeSurfer's aparc+aseg, on any grid)
- FLAIR to T1w (rigid), T1w to MNI by the brain (affine, then SyN if registration.to_mni says so)
- per tracer the frames inside its window, the motion of every frame of the scan, the mean of those
  inside, realigned unless registration.motion_correction is off, and PET to T1w (rigid)
- status.json: what was used, what was excluded and why, QC numbers

All else hangs on the T1w: a subject whose T1w is missing or broken is excluded, with the reason in
status.json. FLAIR and each PET may be missing or broken; then the rest is registered. The exit
status is 0 all the same, so that the cohort goes on.
Transforms are ITK's: from-A_to-B_mode-image resamples an image of space A onto a grid of B.
The same input gives the same bytes with one thread (registration.threads: 1). With several, ITK
adds up the metric in the order in which threads finish, and transforms of two runs differ by
hundredths of a millimetre.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from relad.cli import add_settings
from relad.errors import ReladError
from relad.fileio import read_table, whole_folder
from relad.registration import engine, inputs
from relad.registration.subject import Subject, report
from relad.status import SubjectStatus
from relad.study.config import load_settings
from relad.study.settings import RegisterSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bids",
        metavar="BIDS",
        type=Path,
        help="dataset of `relad ingest`, which chooses among a session's images: of several T1w or "
        "FLAIR the first by name is taken",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of this subject")
    parser.add_argument("--subject", metavar="LABEL", required=True, help="without sub-")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings, RegisterSettings)
    if not (args.bids / "dataset_description.json").exists():
        raise ReladError("no BIDS dataset (dataset_description.json is missing)", file=args.bids)
    require_subject(args.bids, args.subject)
    engine.configure(settings.registration.threads, settings.seed)
    report(register(args.bids, args.out, args.subject, settings))


def require_subject(bids: Path, subject: str) -> None:
    """Refuse a subject whom a dataset does not have.

    One whose scans were all dropped has no folder, but a row of participants.tsv; nobody stops the
    cohort for that.
    """
    table = bids / "participants.tsv"
    rows = read_table(table, ["participant_id"]) if table.is_file() else []
    known = {folder.name for folder in bids.glob("sub-*")} | {r["participant_id"] for r in rows}
    if f"sub-{subject}" not in known:
        raise ReladError(
            f"has no subject {subject!r}", file=bids, hint="give the label without sub-"
        )


def register(bids: Path, out: Path, subject: str, settings: RegisterSettings) -> SubjectStatus:
    """Register one subject and write its folder; see the module's description."""
    step = Subject(bids, subject, settings)
    with whole_folder(out, mark="status.json") as folder:
        step.write(
            folder,
            lambda: inputs.choose_session(bids, subject, settings.tracers, settings.segmentation),
        )
    return step.status
