"""Tell how near to the true PET of a simulated cohort one could come: the ceiling of every method.

Part of simulated uptake follows from anatomy, stage and lesions, the rest from nothing that an MRI
could show. What follows from them, seen by the same tomograph with endless counts and brought to
the grid by the same transforms (`relad normalize --truth`), is compared here with the PET itself,
like any synthetic image: the person's own hidden uptake and the noise of the scan are what is left.
It knows the stage, which an MRI shows in part, and is no trained model.

Example:
  relad ceiling results/packed/sim-train results/metrics/sim-train/ceiling/all.csv

writes rows as those of `relad evaluate`, of everybody in the cohort, whose method is "ceiling";
`relad tables` shows them beside the methods and tells how much of the way from the floor to it each
method goes. Of real PET nobody knows it: such a cohort is an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.errors import ReladError
from relad.results.hashed import told
from relad.steps.evaluate import add_study, compared, settings_of, write
from relad.study.catalogue import CEILING
from relad.study.sampling import UNSAMPLED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packed", type=Path, help="folder of `relad pack`, of a simulated cohort")
    parser.add_argument("out", metavar="OUT.csv", type=Path, help="table to write")
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    if args.out.suffix != ".csv":
        raise ReladError("the table's name must end in .csv", file=args.out)
    dataset = PackedDataset(args.packed)
    settled = settings_of(args.settings, dataset)
    write(
        "ceiling",
        args.out,
        rows(dataset),
        dataset,
        kind=dataset.kind,
        settled=settled,
        made_of={"packed": told([dataset.path / "dataset.json"], args.out.parent)},
    )


def rows(dataset: PackedDataset) -> Iterator[dict[str, Any]]:
    """Yield the rows of what anatomy determines of everybody's PET, in the dataset's order.

    A subject's fold is that by whose models it is tested; in an external cohort there is none.
    """
    for index, k in dataset.pairs():
        subject, tracer = dataset.subjects[index], dataset.tracers[k]
        determined = np.asarray(dataset.ceiling()[index, k], np.float64)
        image = to_suvr(determined, dataset.windows[tracer])
        yield from compared(
            dataset,
            index,
            k,
            [(UNSAMPLED, image, None)],
            file=dataset.path,
            data=dataset.kind,
            method=CEILING,
            fold=subject["fold"],
            seed=None,
        )
