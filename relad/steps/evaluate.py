"""Compare synthetic with real PET: one row per value, from which all tables and figures derive.

Example:
  relad evaluate results/synthesized/sim-train/unet/fold-0_seed-0 \\
      results/metrics/sim-train/unet/fold-0_seed-0.csv --packed results/packed/sim-train

reads the PET that `relad synthesize` wrote and the real PET of the packed cohort (mapped back from
network units to SUVR), and writes the columns cohort, data (real, hybrid or simulated), method,
sampler, fold, seed, subject, tracer, region, metric, value. PSNR (dB), SSIM (3D) and MAE (SUVR) are
taken inside each subject's brain mask (region "brain"); the data range is the width of the tracer's
SUVR window, as packed. Data are simulated too where the method was trained on such.

Where the cohort was packed with regions of people's own segmentations, PSNR and MAE are taken in
each of these too, and a metric of a region of that name is taken there, not in the atlas's: for
everybody of the cohort, and OUT.json says so (regions_from).

In the training cohort the held-out fold's subjects are compared, elsewhere all. A subject is
compared for the tracers it was scanned with and the method was trained for; a synthetic image
missing for one of these is an error. Beside OUT.csv, a .json of the same name holds the data ranges
and the provenance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr, width
from relad.errors import DataError, ReladError
from relad.fileio import write_json, write_table
from relad.imaging.grid import require_same_grid
from relad.imaging.nifti import load_nifti
from relad.results.metrics import METRICS, compare, mask_of, regions
from relad.results.records import Synthesis, read_synthesis
from relad.results.scores import COLUMNS
from relad.status import Kind
from relad.study.catalogue import BRAIN
from relad.study.config import load_settings
from relad.study.paths import synthetic_pet
from relad.study.provenance import describe
from relad.study.settings import EvaluateSettings, NamedTracer, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("synthesized", metavar="SYNTHESIZED", help="folder of `relad synthesize`")
    parser.add_argument("out", metavar="OUT.csv", help="table to write")
    parser.add_argument("--packed", required=True, help="the cohort's folder of `relad pack`")
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="a study's configuration; if given, its SUVR windows must be those of the packed data",
    )


def run(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if out.suffix != ".csv":
        raise ReladError("the table's name must end in .csv", file=out)
    dataset = PackedDataset(args.packed)
    told: dict[str, Any] = {}
    if args.settings is not None:
        settings = load_settings(args.settings, EvaluateSettings)
        _require_windows(dataset, settings.tracers)
        told = plain(settings)
    synthesis = read_synthesis(args.synthesized)
    if synthesis.cohort != dataset.cohort:
        raise ReladError(
            f"PET of cohort {synthesis.cohort}, but {dataset.path} holds {dataset.cohort}",
            file=synthesis.folder,
            hint="give the packed dataset it was synthesised from",
        )
    if synthesis.data not in (None, dataset.fingerprint):
        raise ReladError(
            f"was synthesised from another {dataset.cohort} than {dataset.path}",
            file=synthesis.folder,
            hint="run `relad synthesize` again",
        )
    for tracer in synthesis.untrained:
        print(f"evaluate: {synthesis.method} was not trained for {tracer}", file=sys.stderr)
    rows = list(evaluate(synthesis, dataset))
    write_table(out, rows, COLUMNS)
    write_json(
        out.with_suffix(".json"),
        {
            "kind": Kind.of_parts([dataset.kind, synthesis.kind]),
            "regions": {
                name: metric.taken_in(dataset.own_regions) for name, metric in METRICS.items()
            },
            "regions_from": {
                region: "own segmentations" if region in dataset.own_regions else "atlas"
                for region in regions(dataset.own_regions)
                if region != BRAIN
            },
            "data_range_suvr": {t: width(w) for t, w in dataset.windows.items()},
            "notes": {name: metric.note for name, metric in METRICS.items() if metric.note},
            "provenance": describe("evaluate", told, "numpy", "scikit-image", "nibabel"),
        },
    )
    subjects = len({row["subject"] for row in rows})
    print(f"evaluate: {len(rows)} values of {subjects} subjects -> {out}", file=sys.stderr)


def evaluate(synthesis: Synthesis, dataset: PackedDataset) -> Iterator[dict[str, Any]]:
    """Yield the rows of one folder of synthetic PET, in the dataset's order.

    Raises
    ------
    ReladError
        Where a synthetic image is missing, unreadable or on another grid than the real one.
    """
    part = "test" if dataset.role == "train" else "all"
    kind = Kind.of_parts([dataset.kind, synthesis.kind])
    for index, k in dataset.pairs(fold=synthesis.fold, part=part):
        subject, tracer = dataset.subjects[index]["subject"], dataset.tracers[k]
        if tracer in synthesis.untrained:
            continue
        file = synthesis.folder / synthetic_pet(subject, tracer)
        if not file.exists():
            raise ReladError(
                f"no synthetic {tracer} PET of subject {subject}, who was scanned with it",
                file=file,
                hint="run `relad synthesize` again",
            )
        image = load_nifti(file, ndim=3, allow_constant=True)
        require_same_grid(
            image.shape,
            image.affine,
            dataset.shape,
            dataset.affine,
            file=file,
            other=dataset.path,
        )
        window = dataset.windows[tracer]
        truth = to_suvr(np.asarray(dataset.pet[index, k], dtype=np.float64), window)
        images, brain = (np.asarray(image.dataobj), truth), np.asarray(dataset.mask[index])
        about = {
            "cohort": dataset.cohort,
            "data": kind,
            "method": synthesis.method,
            "sampler": synthesis.sampler,
            "fold": synthesis.fold,
            "seed": synthesis.seed,
            "subject": subject,
            "tracer": tracer,
        }
        own = dict(zip(dataset.own_regions, np.asarray(dataset.regions[index]), strict=True))
        for region in regions(own):
            try:
                mask = mask_of(region, brain, dataset.affine, own)
                values = compare(*images, mask, width(window), region, own=region in own)
            except DataError as error:
                raise DataError(f"subject {subject}, {tracer}: {error.what}", file=file) from None
            for metric, value in values.items():
                yield {**about, "region": region, "metric": metric, "value": repr(value)}


def _require_windows(dataset: PackedDataset, tracers: dict[str, NamedTracer]) -> None:
    """Refuse settings whose SUVR windows are not those the cohort was packed with."""
    for tracer, window in dataset.windows.items():
        wanted = list(tracers[tracer].suvr_window) if tracer in tracers else None
        if wanted != list(window):
            raise ReladError(
                f"{tracer} was packed with SUVR window {list(window)}, the settings say {wanted}",
                file=dataset.path,
                hint="pack the cohort again",
            )
