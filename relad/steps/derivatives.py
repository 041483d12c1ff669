"""A cohort's synthetic PET as a BIDS derivative dataset: by person, in their own space, with pages.

Of everybody to whom a model was applied (role: apply) OUT holds what `relad predict` writes of one
person: synthetic PET in SUVR on the grid of their T1w and in MNI, the spread of its samples, SUVR
of regions, and a page that needs no network. participants.tsv lists the whole cohort: to whom the
model was not applied, and why, and in what a person differs from those whom the model was trained
on. Every file says that it is synthetic, by which model, and for research use only.

  relad derivatives results/synthesized/clinic/rela/fold-0_seed-0 out \\
      --model results/models/rela/fold-0_seed-0 --packed results/packed/clinic \\
      --registered results/registered/clinic --normalized results/normalized/clinic
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relad.cli import folders_of
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, whole_folder, write_json
from relad.imaging.nifti import load_nifti
from relad.prediction.derivatives import Applied, Dataset, Synthetic
from relad.prediction.person import warnings_of
from relad.prediction.record import Record
from relad.results.records import Synthesis, read_synthesis
from relad.status import SubjectStatus
from relad.study import paths
from relad.study.provenance import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "synthesized", metavar="SYNTHESIZED", type=Path, help="folder of `relad synthesize`"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="dataset to write")
    parser.add_argument("--model", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--packed", type=Path, required=True, help="packed cohort")
    for step, option in (("register", "--registered"), ("normalize", "--normalized")):
        parser.add_argument(
            option,
            type=Path,
            nargs="+",
            required=True,
            help=f"folders of `relad {step}`, or the folder that holds them",
        )


def run(args: argparse.Namespace) -> None:
    data, record = PackedDataset(args.packed), Record.read(args.model)
    synthesis = read_synthesis(args.synthesized)
    if synthesis.data != data.fingerprint:
        raise ReladError(
            f"was not synthesised from {data.path}", file=args.synthesized,
            hint="run `relad synthesize` again",
        )  # fmt: skip
    _require_model_of(synthesis, record)
    registered, normalized = (
        {folder.name.removeprefix("sub-"): folder for folder in folders_of(given)}
        for given in (args.registered, args.normalized)
    )
    with whole_folder(args.out, mark="prediction.json") as folder:
        dataset = Dataset(folder, record, synthesis.sampler, synthesis.seed, "relad derivatives")
        people = []
        for index, row in enumerate(data.subjects):
            x = row["subject"]
            if x not in registered or x not in normalized:
                raise ReladError(
                    f"--registered or --normalized lacks subject {x} of {data.path}",
                    hint="give the folders that it was packed from",
                )
            person = _applied(data, index, registered[x], normalized[x], synthesis, record)
            people.append(dataset.write_person(person))
            print(f"{data.cohort}: sub-{x}, {len(people)} of {len(data)}", file=sys.stderr)
        people += [_left_out(row) for row in data.excluded]
        people.sort(key=lambda row: row["participant_id"])
        dataset.write_root(people, synthesis.kind)
        write_json(
            folder / "prediction.json",
            {
                "cohort": data.cohort,
                "kind": synthesis.kind,
                "model": record.about(),
                "method": synthesis.method,
                "sampling": synthesis.sampler,
                "data": data.fingerprint,
                "provenance": describe("derivatives", {}, "nibabel", "nilearn", "numpy", "scipy"),
            },
        )
    applied = sum(row["applied"] == "yes" for row in people)
    print(f"{data.cohort}: {applied} of {len(people)} people; {args.out}", file=sys.stderr)


def _require_model_of(synthesis: Synthesis, record: Record) -> None:
    """Refuse images of another model than that of which the files would tell."""
    used = read_json(synthesis.folder / "synthesis.json")["provenance"]["settings"]["model"]
    theirs = (synthesis.fold, synthesis.seed, used)
    ours = (record.told["fold"], record.told["seed"], record.told["provenance"]["settings"])
    if theirs != ours:
        raise ReladError(
            f"was synthesised by another model than {record.folder}", file=synthesis.folder,
            hint="name its model",
        )  # fmt: skip


def _left_out(row: dict[str, Any]) -> dict[str, Any]:
    told = {key: row[key] for key in ("age", "sex", "group", "reason")}
    return {"participant_id": f"sub-{row['subject']}", "applied": "no", **told}


def _applied(
    data: PackedDataset,
    index: int,
    registered: Path,
    normalized: Path,
    synthesis: Synthesis,
    record: Record,
) -> Applied:
    """One person's images, read back."""
    row, status = data.subjects[index], SubjectStatus.read(normalized)
    channels = [data.modalities.index(name) for name in record.inputs]
    mri, mask = np.asarray(data.mri[index])[channels], np.asarray(data.mask[index])
    return Applied(
        status=status,
        registered=registered,
        normalized=normalized,
        sources={name: status.inputs[name] for name in record.inputs},
        pet={
            tracer: _synthetic(synthesis, row["subject"], tracer)
            for tracer in data.tracers
            if tracer in record.trained
        },
        warnings=warnings_of(record, status, row["scanner"], row["age"], mri, mask),
        told=row,
    )


def _synthetic(synthesis: Synthesis, subject: str, tracer: str) -> Synthetic:
    def read(name: str) -> np.ndarray:
        image = load_nifti(synthesis.folder / name, ndim=3, allow_constant=True)
        return np.asarray(image.dataobj)

    mean = read(paths.synthetic_pet(subject, tracer))
    if synthesis.samples == 1:
        return Synthetic(mean, None, [mean])
    numbers: Sequence[int] = range(1, synthesis.samples + 1)
    samples = [read(paths.sample_pet(subject, tracer, n)) for n in numbers]
    return Synthetic(mean, read(paths.spread_pet(subject, tracer)), samples)
