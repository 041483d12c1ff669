"""The study's figures, each as PNG (300 dpi) and PDF.

  panels           MRI, real and synthetic PET and their difference, for one held-out subject per
                   tracer: the one whose PSNR, averaged over methods, is the median
  panels_external  the same for the cohorts that were never trained on
  distributions    PSNR, SSIM and MAE of every held-out subject, by method and tracer
  distributions_external  the same for the cohorts that were never trained on
  ablation         difference of each ablation to its full method, subject by subject
  training_curves  losses against updates and against wall-clock time
  runtime          PSNR against time per volume and against training time

and with --only, by name:

  GROUP            the methods of any further group of the configuration, such as release_ladder, as
                   differences to its first one
  samplers         quality against network evaluations, from metrics of several samplings

Example:
  relad figures results/metrics/*/*/*.csv --models results/models/*/* \\
      --synthesized results/synthesized/*/*/* --packed results/packed/* --out results/figures

Without --only, a figure for which nothing is given is left out, and that is said on stderr.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.cli import add_settings
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.results.scores import read_sampler_scores, read_scores
from relad.study.config import load_settings, own_groups

#: Figure -> what it needs on the command line.
FIGURES = {
    "panels": "give METRICS.csv, --synthesized and --packed of the training cohort",
    "panels_external": "give METRICS.csv, --synthesized and --packed of an external cohort",
    "distributions": "give METRICS.csv of the training cohort",
    "distributions_external": "give METRICS.csv of an external cohort",
    "ablation": "give METRICS.csv of an ablated method and its ablations",
    "training_curves": "give --models",
    "runtime": "give METRICS.csv, --models and --synthesized of the training cohort",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "metrics", nargs="*", metavar="METRICS.csv", help="tables of `relad evaluate`"
    )
    parser.add_argument(
        "--models", nargs="*", default=[], metavar="DIR", help="folders of `relad train`"
    )
    parser.add_argument(
        "--synthesized", nargs="*", default=[], metavar="DIR", help="folders of `relad synthesize`"
    )
    parser.add_argument(
        "--packed", nargs="*", default=[], metavar="DIR", help="folders of `relad pack`"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the figures")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"draw this figure alone (may be given more than once): {', '.join(FIGURES)}",
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    # Drawing is imported here, so that the help needs no matplotlib.
    from matplotlib import pyplot as plt

    from relad.results.figures import (
        ablation,
        distributions,
        panels,
        runtime,
        samplers,
        style,
        training_curves,
    )
    from relad.results.figures.study import Study

    draw = {
        "panels": lambda study: panels.draw(study, "train"),
        "panels_external": lambda study: panels.draw(study, "external"),
        "distributions": lambda study: distributions.draw(study, "train"),
        "distributions_external": lambda study: distributions.draw(study, "external"),
        "ablation": ablation.draw,
        "training_curves": training_curves.draw,
        "runtime": runtime.draw,
    }
    settings = load_settings(args.settings)
    for group in own_groups(settings):
        draw[group] = lambda study, group=group: ablation.draw(study, group)
    draw["samplers"] = samplers.draw
    for name in args.only or ():
        if name not in draw:
            raise ReladError(f"no figure {name!r}", hint=f"known: {', '.join(draw)}")
    study = Study(
        settings=settings,
        scores={},
        models=sorted(map(Path, args.models)),
        synthesized=sorted(map(Path, args.synthesized)),
        packed={dataset.cohort: dataset for dataset in map(PackedDataset, args.packed)},
    )
    if args.only == ["samplers"]:  # whose metrics are of many samplings
        study.sampler_scores = read_sampler_scores(args.metrics, settings)
    else:
        study.scores = read_scores(args.metrics, settings)
    drawn = 0
    with plt.rc_context(style.RC):
        for name in args.only or FIGURES:
            figure = draw[name](study)
            if figure is None:
                if args.only:
                    hint = FIGURES.get(name, "give METRICS.csv of its methods, and it alone")
                    raise ReladError(f"nothing was given for the figure {name!r}", hint=hint)
                print(f"figures: nothing given for {name}; left out", file=sys.stderr)
                continue
            for path in style.save(figure, Path(args.out), name):
                print(f"figures: wrote {path}", file=sys.stderr)
            drawn += 1
    if not drawn:
        raise ReladError("nothing to draw", hint="give METRICS.csv or --models")
