"""Write a trained model as one file, to pass on.

  relad export results/models/rela/fold-0_seed-0 rela.zip --license CC-BY-4.0

The bundle holds the weights and the data scaling (safetensors), train.json (method, inputs,
tracers, training, provenance), the settings of the preprocessing and the ranges of the training
cohort where the model folder has them, the losses, the scores, and a model card (README.md), which
says on its face whether the data are real or simulated. Its manifest names the format, the licence,
and every file's size and SHA-256. The same model gives the same bytes.

Test scores are those of `relad evaluate` for this very model: the tables in the same results folder
(metrics/COHORT/METHOD/fold-F_seed-S.csv) that are not older than the weights, or those that
--scores names.

`relad synthesize` takes a bundle in place of a model folder; `relad.bundle.open_model` unpacks one.
What is checked then, and what is in a bundle: docs/bundles.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from relad.bundle.card import Score
from relad.bundle.form import UNSPECIFIED
from relad.bundle.writing import export
from relad.errors import DataError, ReladError
from relad.fileio import read_json, read_table
from relad.results.metrics import METRICS
from relad.results.scores import COLUMNS, number_of
from relad.study import paths
from relad.study.catalogue import BRAIN, Result

#: What the card shows: the metrics and the region of most tables.
_SHOWN, _REGION = Result.metrics, BRAIN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of the trained model")
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="file to write, such as rela.zip"
    )
    parser.add_argument(
        "--license",
        metavar="TEXT",
        default=UNSPECIFIED,
        help="licence of the model, an SPDX name such as CC-BY-4.0 (default: unspecified, and the "
        "card says that nobody may rely on one)",
    )
    parser.add_argument(
        "--scores",
        metavar="FILE",
        type=Path,
        nargs="*",
        help="tables of `relad evaluate` of this model (default: those in its results folder)",
    )


def run(args: argparse.Namespace) -> None:
    license_ = " ".join(args.license.split())
    if not (license_ and license_.isprintable() and len(license_) <= 200):
        raise ReladError("--license takes one line of up to 200 printable characters")
    files = evaluated(args.model) if args.scores is None else args.scores
    scores = read_scores(files, args.model) if files else []
    done = export(args.model, args.bundle, license_=license_, scores=scores)
    print(f"{args.bundle}: {args.bundle.stat().st_size / 1e6:.1f} MB, {', '.join(done.files)}")
    print(f"SHA-256 of its manifest, to publish beside it: {done.identity}")
    if done.left:
        print(f"not taken along: {', '.join(done.left)}", file=sys.stderr)
    if done.command:
        print(
            f"brains were extracted by a command ({done.command}), which no bundle brings along: "
            "whoever opens it must bring brain masks",
            file=sys.stderr,
        )
    if not scores:
        print(
            "no test scores taken along: --scores names tables of `relad evaluate`", file=sys.stderr
        )
    if license_ == UNSPECIFIED:
        print("no licence stated: --license names one", file=sys.stderr)


def evaluated(model: Path) -> list[Path]:
    """Tables of `relad evaluate` of a model in a results folder, of the training that it holds."""
    folder = model.resolve()
    if not (folder / paths.WEIGHTS).is_file() or len(folder.parents) < 3:
        return []
    method, run = folder.parent.name, folder.name
    results = folder.parents[2]
    of_runs = paths.evaluated("*", method, "*", "*").relative_to(paths.RESULTS)
    found = [file for file in results.glob(str(of_runs)) if file.stem == run]
    made = (folder / paths.WEIGHTS).stat().st_mtime
    for file in sorted(found):
        if file.stat().st_mtime < made:
            print(f"{file}: older than the weights, its scores stay behind", file=sys.stderr)
    return sorted(file for file in found if file.stat().st_mtime >= made)


def read_scores(files: Iterable[Path], model: Path) -> list[Score]:
    """Mean and standard deviation over subjects, of tables of one model.

    Raises
    ------
    ReladError
        Where a table is none of `relad evaluate`, or of another model.
    """
    trained = read_json(model / paths.TRAINING_RECORD)
    mine = {key: str(trained.get(key)) for key in ("method", "fold", "seed")}
    values: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for file in files:
        for row in read_table(file):
            if lacking := [column for column in COLUMNS if row.get(column) is None]:
                raise DataError(
                    f"lacks {', '.join(lacking)}", file=file, hint="give tables of `relad evaluate`"
                )
            if other := [f"{key} {row[key]}" for key in mine if row[key] != mine[key]]:
                raise ReladError(f"is of {', '.join(other)}, not of {model}", file=file)
            if row["metric"] not in METRICS:
                raise DataError(f"metric {row['metric']!r} is none of this version", file=file)
            key = tuple(row[c] for c in ("cohort", "data", "sampler", "tracer", "region", "metric"))
            if row["subject"] in values[key]:
                raise DataError(f"gives {row['metric']} of {row['subject']} twice", file=file)
            values[key][row["subject"]] = number_of(row["value"], file)
    return [_score(key, list(of.values())) for key, of in values.items()]


def _score(key: tuple[str, ...], values: list[float]) -> Score:
    region, metric = key[-2:]
    shown = metric in _SHOWN and region == _REGION
    return Score(
        *key,
        n=len(values),
        mean=statistics.fmean(values),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        label=METRICS[metric].label if shown else None,
        decimals=METRICS[metric].decimals,
    )
