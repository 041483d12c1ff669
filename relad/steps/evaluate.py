"""Compare synthetic with real PET: one row per value, from which all tables and figures derive.

Example:
  relad evaluate results/synthesized/sim-train/unet/fold-0_seed-0 \\
      results/metrics/sim-train/unet/fold-0_seed-0.csv --packed results/packed/sim-train

reads the PET that `relad synthesize` wrote and the real PET of the packed cohort (mapped back from
network units to SUVR), and writes the columns cohort, data (real, hybrid or simulated), method,
sampler, fold, seed, subject, tracer, region, metric, value. PSNR (dB), SSIM (3D), MAE (SUVR), HFEN
and the spectral powers are taken inside each subject's brain mask, as far as T1w, FLAIR and the PET
reach (region "brain"); the data range is the width of the tracer's SUVR window, as packed. Data are
simulated too where the method was trained on such.

Of several samples the synthetic PET is the mean. CRPS (of a single image the MAE), spread/skill and
the coverage of intervals are taken of all of them, and the first one is compared as an image too,
in rows whose sampler is that of one sample: ddim-25 beside ddim-25x8. --image-only leaves these
out, for a study of samplers that has them from a run of their own.

The mean SUVR of the synthetic and of the real image (suvr, suvr_true) is taken in the brain and in
every region of the atlas and their composites (relad/study/regions.py). A region, of the atlas or a
person's own, of which less than half lies in that mask has no rows: stderr and OUT.json say of whom
(regions_absent).

Where the cohort was packed with regions of people's own segmentations, PSNR, MAE, CRPS and SUVR are
taken in each of these too, and a metric of a region of that name is taken there, not in the
atlas's: for everybody of the cohort, and OUT.json says so (regions_from).

In the training cohort the held-out fold's subjects are compared, elsewhere all. A subject is
compared for the tracers it was scanned with and the method was trained for; a synthetic image
missing for one of these is an error. Beside OUT.csv, a .json of the same name holds its hash, by
which tables and figures know a changed one, the data ranges, the provenance, who was not compared
(left_out), for which tracers the method was not trained (untrained), and what was compared: folders
by their path from it, and the hash of every image.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes

from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr, width
from relad.errors import DataError, ReladError
from relad.fileio import sha256_of, write_json, write_table
from relad.imaging.grid import require_same_grid
from relad.imaging.nifti import load_nifti
from relad.results.hashed import told
from relad.results.metrics import METRICS, MIN_COVERED, compare, is_covered, mask_of, regions
from relad.results.metrics.ensemble import require_samples
from relad.results.records import Synthesis, read_synthesis
from relad.results.scores import COLUMNS
from relad.status import Kind
from relad.study.catalogue import BRAIN
from relad.study.config import load_settings
from relad.study.paths import sample_pet, synthetic_pet
from relad.study.provenance import describe
from relad.study.sampling import one_of
from relad.study.settings import EvaluateSettings, plain

#: Sampler, image (x, y, z) in SUVR, and the samples that it is the mean of, if it is one.
Compared = tuple[str, np.ndarray, Iterable[np.ndarray] | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("synthesized", metavar="SYNTHESIZED", help="folder of `relad synthesize`")
    parser.add_argument("out", metavar="OUT.csv", help="table to write")
    parser.add_argument("--packed", required=True, help="the cohort's folder of `relad pack`")
    add_study(parser)
    parser.add_argument(
        "--image-only",
        action="store_true",
        help="of several samples, no rows of the first one alone",
    )


def add_study(parser: argparse.ArgumentParser) -> None:
    """The option that holds packed data to a study's settings."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="a study's configuration; if given, its SUVR windows and voxels must be those of the "
        "packed data",
    )


def run(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if out.suffix != ".csv":
        raise ReladError("the table's name must end in .csv", file=out)
    dataset = PackedDataset(args.packed)
    settled = settings_of(args.settings, dataset)
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
    images: dict[str, str] = {}
    rows = evaluate(synthesis, dataset, image_only=args.image_only, images=images)
    write(
        "evaluate",
        out,
        rows,
        dataset,
        kind=Kind.of_results(dataset.kind, synthesis.kind),
        settled=settled,
        left_out=synthesis.left_out,
        untrained=synthesis.untrained,
        made_of={
            "synthesized": told([synthesis.folder / "synthesis.json"], out.parent),
            "packed": told([dataset.path / "dataset.json"], out.parent),
            "images": images,
        },
    )


def settings_of(file: str | None, dataset: PackedDataset) -> dict[str, Any]:
    """Settings by which a cohort is measured; refuses one that was packed by others."""
    settled: dict[str, Any] = {}
    if file is not None:
        settings = load_settings(file, EvaluateSettings)
        _require_packed_as(dataset, settings)
        settled = plain(settings)
    if dataset.applied:
        raise ReladError("holds no PET to compare with (role apply)", file=dataset.path)
    return settled


def write(
    step: str,
    out: Path,
    rows: Iterable[dict[str, Any]],
    dataset: PackedDataset,
    *,
    kind: Kind,
    settled: dict[str, Any],
    **more: Any,
) -> None:
    """Write a step's rows and beside them how they were measured and ``more``.

    ``rows`` are made as they are written, so that a cohort's size is none of memory.
    """
    values: Counter[str] = Counter()
    measured: dict[tuple[str, str], set[str]] = {}

    def counted() -> Iterator[dict[str, Any]]:
        for row in rows:
            values[row["subject"]] += 1
            measured.setdefault((row["subject"], row["tracer"]), set()).add(row["region"])
            yield row

    write_table(out, counted(), COLUMNS)
    absent = absent_regions(measured, regions(dataset.own_regions))
    for region, subjects in absent.items():
        print(
            f"{step}: less than {MIN_COVERED:.0%} of the region {region} lies in the brain mask "
            f"of {', '.join(subjects)}: no rows of it -- look at the mask and the PET's field of "
            "view, or take finer voxels",
            file=sys.stderr,
        )
    voxel_mm = voxel_sizes(dataset.affine)
    write_json(
        out.with_suffix(".json"),
        {
            "kind": kind,
            "table_sha256": sha256_of(out),
            **more,
            "regions": {
                name: metric.taken_in(dataset.own_regions) for name, metric in METRICS.items()
            },
            "regions_from": {
                region: "own segmentations" if region in dataset.own_regions else "atlas"
                for region in regions(dataset.own_regions)
                if region != BRAIN
            },
            "regions_absent": absent,
            "data_range_suvr": {t: width(w) for t, w in dataset.windows.items()},
            "voxel_mm": voxel_mm.tolist(),
            "notes": {
                name: metric.said(voxel_mm.mean())
                for name, metric in METRICS.items()
                if metric.note
            },
            "provenance": describe(step, settled, "numpy", "scipy", "scikit-image", "nibabel"),
        },
    )
    what = f"{values.total()} values of {len(values)} subjects"
    print(f"{step}: {what} -> {out}", file=sys.stderr)


def absent_regions(
    measured: Mapping[tuple[str, str], Container[str]], known: Iterable[str]
) -> dict[str, list[str]]:
    """Regions -> those of the compared subjects who do not have it in some PET.

    ``measured`` has the regions of the rows of every compared (subject, tracer): the mean SUVR has
    one in each region that a person has.
    """
    absent = {
        region: dict.fromkeys(s for (s, _), there in measured.items() if region not in there)
        for region in known
    }
    return {region: list(subjects) for region, subjects in absent.items() if subjects}


def compared_pairs(synthesis: Synthesis, dataset: PackedDataset) -> list[tuple[int, int]]:
    """(subject, tracer) of a packed cohort of which a synthesis has an image to be compared."""
    part = "test" if dataset.role == "train" else "all"
    return [
        (i, k)
        for i, k in dataset.pairs(synthesis.fold, part)
        if dataset.tracers[k] not in synthesis.untrained
        and dataset.subjects[i]["subject"] not in synthesis.left_out
    ]


def evaluate(
    synthesis: Synthesis,
    dataset: PackedDataset,
    *,
    image_only: bool = False,
    images: dict[str, str] | None = None,
    only: Container[tuple[str, str]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one folder of synthetic PET, in the dataset's order.

    ``image_only``: of several samples, no rows of the first one alone. ``images`` takes up the hash
    of every image that is compared, by its name in the folder. ``only``: (subject, tracer), where
    not all are to be compared.

    Raises
    ------
    ReladError
        Where a synthetic image is missing, unreadable or on another grid than the real one, or a
        value is not a number.
    """
    kind = Kind.of_results(dataset.kind, synthesis.kind)
    for index, k in compared_pairs(synthesis, dataset):
        subject, tracer = dataset.subjects[index]["subject"], dataset.tracers[k]
        if only is not None and (subject, tracer) not in only:
            continue
        yield from compared(
            dataset,
            index,
            k,
            _images(synthesis, dataset, subject, tracer, image_only, images),
            file=synthesis.folder / synthetic_pet(subject, tracer),
            data=kind,
            method=synthesis.method,
            fold=synthesis.fold,
            seed=synthesis.seed,
        )


@contextmanager
def _about(subject: str, tracer: str, file: Path) -> Iterator[None]:
    """Say of whose images a fault of the data is."""
    try:
        yield
    except DataError as error:
        told = f"subject {subject}, {tracer}: {error.what}"
        raise DataError(told, file=file, hint=error.hint) from None


def compared(
    dataset: PackedDataset,
    index: int,
    k: int,
    images: Iterable[Compared],
    *,
    file: Path,
    **columns: Any,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of images of one pair (subject, tracer) of a packed cohort.

    Parameters
    ----------
    images
        For each its sampler, the image (x, y, z) in SUVR, and the samples that it is the mean of,
        or None.
    file
        What an error is about.
    **columns
        The other columns: ``data``, ``method``, ``fold``, ``seed``.

    Raises
    ------
    DataError
        Where a value is not a number.
    """
    dataset.open()
    subject, tracer = dataset.subjects[index]["subject"], dataset.tracers[k]
    window, voxel_mm = dataset.windows[tracer], voxel_sizes(dataset.affine)
    truth = to_suvr(np.asarray(dataset.pet[index, k], dtype=np.float64), window)
    brain, seen = dataset.pair_mask(index, k), np.isfinite(truth)
    own = dataset.own_masks(index)
    there = [region for region in regions(own) if is_covered(region, brain, dataset.affine, own)]
    # 0 where the PET shows nothing, in both of them: some metrics look across the mask's edge.
    truth[~seen] = 0.0
    for sampler, image, samples in images:
        image = np.where(seen, image, np.zeros(image.shape))  # float64, as all arithmetic is
        drawn = None if samples is None else np.stack([sample[brain] for sample in samples])
        if drawn is not None:
            with _about(subject, tracer, file):
                require_samples(image[brain], drawn, data_range=width(window))
        for region in there:
            with _about(subject, tracer, file):
                mask = mask_of(region, brain, dataset.affine, own)
                values = compare(
                    image,
                    truth,
                    mask,
                    width(window),
                    region,
                    own=region in own,
                    voxel_mm=voxel_mm,
                    samples=None if drawn is None else drawn[:, mask[brain]],
                )
                undefined = [metric for metric, value in values.items() if math.isnan(value)]
                if undefined:
                    raise DataError(f"{', '.join(undefined)} of the {region} is not a number")
            for metric, value in values.items():
                yield {
                    "cohort": dataset.cohort,
                    "sampler": sampler,
                    "subject": subject,
                    "tracer": tracer,
                    "region": region,
                    "metric": metric,
                    "value": repr(value),
                    **columns,
                }


def _images(
    synthesis: Synthesis,
    dataset: PackedDataset,
    subject: str,
    tracer: str,
    image_only: bool,
    hashes: dict[str, str] | None,
) -> Iterator[Compared]:
    """Yield the synthetic image with all its samples, if there are several, and the first alone."""

    def read(name: str) -> np.ndarray:
        file = synthesis.folder / name
        if not file.exists():
            raise ReladError(
                f"no synthetic {tracer} PET of subject {subject}, who was scanned with it",
                file=file,
                hint="run `relad synthesize` again",
            )
        image = load_nifti(file, ndim=3, allow_constant=True)
        require_same_grid(
            image.shape, image.affine, dataset.shape, dataset.affine, file=file, other=dataset.path
        )
        if hashes is not None:
            hashes[name] = sha256_of(file)
        return np.asarray(image.dataobj)

    image = read(synthetic_pet(subject, tracer))
    if synthesis.samples == 1:
        yield synthesis.sampler, image, None
        return
    first = read(sample_pet(subject, tracer, 1))
    others = range(2, synthesis.samples + 1)
    samples = chain([first], (read(sample_pet(subject, tracer, n)) for n in others))
    yield synthesis.sampler, image, samples
    of_one = one_of(synthesis.sampler)
    if of_one is not None and not image_only:
        yield of_one, first, None


def _require_packed_as(dataset: PackedDataset, settings: EvaluateSettings) -> None:
    """Refuse settings whose SUVR windows or voxels are not those the cohort was packed with."""
    for tracer, window in dataset.windows.items():
        known = settings.tracers
        wanted = list(known[tracer].suvr_window) if tracer in known else None
        if wanted != list(window):
            raise ReladError(
                f"{tracer} was packed with SUVR window {list(window)}, the settings say {wanted}",
                file=dataset.path,
                hint="pack the cohort again",
            )
    voxel = voxel_sizes(dataset.affine)
    if not np.allclose(voxel, settings.grid.voxel_mm, atol=1e-3):
        raise ReladError(
            f"was packed with voxels of {' x '.join(f'{mm:g}' for mm in voxel)} mm, the settings "
            f"say {settings.grid.voxel_mm:g}",
            file=dataset.path,
            hint="pack the cohort again",
        )
