"""One person's PET from their own raw scans, by a trained model.

  relad predict results/models/rela/fold-0_seed-0 --t1 T1w.nii.gz --flair FLAIR.nii.gz \\
      --tracer tau out

MODEL is the folder of a trained model, or a bundle that `relad export` made of one. It says itself
how its people were preprocessed; this person's native scans go the same way, by the same code:
brain, registration, quality gates. Then the model draws --samples samples, whose mean is the PET.
--t1 and --flair are NIfTI files or folders of one DICOM series each; --t1 may also be a BIDS folder
(a dataset with --subject, or its sub-LABEL or ses-LABEL folder), of which the FLAIR is taken too.
Of several images of a kind in it the one is taken that `relad ingest` keeps; what is left out is
told with its reason. A scan that you name yourself is taken: where its name or description tells of
a contrast agent and the like, that is a warning; what its header says is refused as by ingest.

OUT becomes a BIDS derivative dataset: PET in SUVR in the space of the T1w and in MNI, the standard
deviation of its samples, SUVR of regions as a table, pictures, and sub-LABEL.html, one page with
all of it that needs no network. Every file says that it is synthetic, by which model, trained on
what, and for research use only; the page says in what the person differs from the training people
(age, scanner, brain volume, intensities).

Refused, with nothing written: what is no head, a FLAIR of another person, scans that miss a gate of
quality, a tracer or an input that the model was never trained on, a model that does not say how to
preprocess. The brain mask of a command is not made here, since a model could name any command: give
it by --brain-mask.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from relad.bundle import model_folder
from relad.cli import above_zero, whole_number
from relad.compute.devices import choose_device, set_threads
from relad.errors import DataError, ReladError
from relad.fileio import scratch_folder, whole_folder, write_json
from relad.imaging import atlas
from relad.prediction import scans
from relad.prediction.derivatives import Applied, Dataset
from relad.prediction.model import Model, load
from relad.prediction.person import read_mri, refuse_swapped, warnings_of
from relad.prediction.record import Record
from relad.registration import engine
from relad.status import Kind, Modality, SubjectStatus
from relad.steps.preprocess import preprocess
from relad.study import provenance
from relad.study.sampling import SAMPLERS, Sampling
from relad.study.settings import BRAIN_EXTRACTIONS, PreprocessSettings, plain

#: What a model is asked for without other words: enough samples that their spread says something.
USUAL = Sampling("ddim", 10, 8)
_PACKAGES = ("torch", "numpy", "safetensors", "antspyx", "nibabel", "nilearn", "scipy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="folder of a trained model, or its bundle"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    parser.add_argument(
        "--t1",
        metavar="PATH",
        type=Path,
        required=True,
        help="T1w, whole head: NIfTI, folder of a DICOM series, or a BIDS folder",
    )
    parser.add_argument(
        "--flair", metavar="PATH", type=Path, help="T2-FLAIR: NIfTI or folder of a DICOM series"
    )
    parser.add_argument(
        "--tracer",
        metavar="TRACER",
        action="append",
        required=True,
        help="whose PET is wanted, such as tau; may be given several times",
    )
    parser.add_argument(
        "--brain-mask", metavar="FILE", type=Path, help="your brain mask, on the grid of the T1w"
    )
    parser.add_argument(
        "--subject",
        metavar="LABEL",
        help="used in file names, and for the noise (default: that of the BIDS folder, or one); "
        "chooses a person of a BIDS dataset",
    )
    parser.add_argument("--session", metavar="LABEL", help="chooses a session of a BIDS folder")
    parser.add_argument("--age", metavar="YEARS", type=above_zero, help="of the person at the scan")
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        default=USUAL.sampler,
        help=f"of diffusion models (default: {USUAL.sampler})",
    )
    parser.add_argument(
        "--steps",
        type=whole_number(1),
        default=USUAL.steps,
        help=f"network evaluations of one sample (default: {USUAL.steps})",
    )
    parser.add_argument(
        "--samples",
        type=whole_number(1),
        default=USUAL.samples,
        help=f"samples whose mean is the PET (default: {USUAL.samples}); their standard deviation "
        "is written from two on",
    )
    parser.add_argument(
        "--temperature",
        type=above_zero,
        default=USUAL.temperature,
        help="standard deviation of the noise that is sampled from (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, help="of the samples' noise (default: that of the model)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where the model computes (default: auto, CUDA where there is one)",
    )
    parser.add_argument(
        "--threads",
        type=whole_number(1),
        default=len(os.sched_getaffinity(0)),
        help="CPU threads of the model (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    set_threads(args.threads)
    given = (args.t1, args.flair, args.brain_mask, args.model)
    _require_apart(args.out, [path for path in given if path is not None])
    with model_folder(args.model) as folder:
        _run(load(folder, choose_device(args.device)), args)


def _run(model: Model, args: argparse.Namespace) -> None:
    record = model.record
    tracers = list(dict.fromkeys(args.tracer))
    for tracer in tracers:
        record.tracer(tracer)
    settings = _settings(record, args.brain_mask)
    found = scans.find(
        args.t1, args.flair, record.inputs, subject=args.subject, session=args.session
    )
    record.require_inputs(found.images)
    for one in found.left_out:
        print(f"relad predict: left out: {one}", file=sys.stderr)
    if args.age is not None:
        found.told["age"] = args.age
    subject = args.subject or found.subject
    if not subject.isalnum() or not subject.isascii():
        raise ReladError(f"--subject takes letters and digits, not {subject!r}")
    sampling = Sampling(args.sampler, args.steps, args.samples, args.temperature)
    seed = record.told["seed"] if args.seed is None else args.seed
    predict(
        model, found, args.out, tracers, settings,
        subject=subject, sampling=sampling, seed=seed, mask=args.brain_mask,
    )  # fmt: skip
    print(f"{args.out / f'sub-{subject}.html'}", file=sys.stderr)


def _require_apart(out: Path, given: Sequence[Path]) -> None:
    """Refuse scans, or a model, in the folder that is replaced."""
    for path in given:
        if out.resolve() in (path.resolve(), *path.resolve().parents):
            raise ReladError("lies in OUT, which is replaced as a whole", file=path,
                             hint="name another OUT")  # fmt: skip


def _settings(record: Record, mask: Path | None) -> PreprocessSettings:
    """How the person is preprocessed: as the model's people, or with the user's brain mask.

    Raises
    ------
    ReladError
        Where a brain mask is needed and not given.
    """
    settings = record.settings
    if mask is not None:
        if not mask.is_file():
            raise ReladError("no such image", file=mask)
        return replace(
            settings, registration=replace(settings.registration, brain_extraction="derivatives")
        )
    how = settings.registration.brain_extraction
    if how not in BRAIN_EXTRACTIONS:
        what = (
            f"was trained on brains that a command extracted ({how}), and no model's command is run"
        )
    elif how == "derivatives":
        what = "was trained on brain masks that came with the scans"
    else:
        return settings
    raise ReladError(what, file=record.folder, hint="give this person's by --brain-mask")


def predict(
    model: Model,
    given: scans.Given,
    out: Path,
    tracers: Sequence[str],
    settings: PreprocessSettings,
    *,
    subject: str,
    sampling: Sampling,
    seed: int,
    mask: Path | None = None,
) -> None:
    """Preprocess one person, apply the model, and write OUT; see the module's docstring.

    Raises
    ------
    ReladError
        Where the person's scans cannot be used; nothing is written then.
    """
    record = model.record
    scans.require_converter(given)
    engine.configure(settings.registration.threads, settings.seed)
    with (
        whole_folder(out, mark="prediction.json") as folder,
        scratch_folder("relad-predict-") as scratch,
    ):
        normalized = scratch / "normalized"
        person = scans.convert_all(given, subject, settings.tracers, scratch, mask)
        status = preprocess(person.scans, normalized, subject, settings)
        _require_usable(status, given)
        mri, brain = read_mri(normalized, subject, record.inputs)
        grid = settings.grid
        refuse_swapped(mri, record.inputs, atlas.grid_affine(grid.shape, grid.voxel_mm))
        age = person.told.get("age")
        warnings = [*person.notes, *warnings_of(record, status, person.scanner, age, mri, brain)]
        for warning in warnings:
            print(f"relad predict: warning: {warning}", file=sys.stderr)
        pet = {t: model.synthesize(subject, t, mri, brain, sampling, seed) for t in tracers}
        sampled = model.sampler_name(sampling)
        dataset = Dataset(folder, record, sampled, seed, "relad predict")
        sources = given.names
        applied = Applied(status, normalized / "registered", normalized, sources, pet, warnings,
                          person.told)  # fmt: skip
        status.inputs = sources  # and not where they were converted to
        kind = Kind.of_parts([status.kind, record.kind])
        dataset.write_root([dataset.write_person(applied)], kind)
        used = {
            "sampling": vars(sampling),
            "seed": seed,
            "tracers": list(tracers),
            "preprocessing": plain(settings),
        }
        write_json(
            folder / "prediction.json",
            {
                "kind": kind,
                "model": record.about(),
                "inputs": sources,
                "left_out": list(given.left_out),
                "sampling": sampled,
                "warnings": warnings,
                "status": status.as_dict(),
                "provenance": provenance.describe("predict", used, *_PACKAGES),
            },
        )


def _require_usable(status: SubjectStatus, given: scans.Given) -> None:
    """Refuse a person of whom a scan that was given misses a gate of quality."""
    for name in given.images:
        reason = status.mri[Modality(name)].reason
        if not status.ok or reason is not None:
            raise DataError(status.reason or str(reason), file=given.names[name])
