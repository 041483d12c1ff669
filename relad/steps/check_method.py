"""Tell whether a method keeps the protocol (docs/protocol.md), one line per check.

METHOD is a method or an ablation of the study, or the id of an installed one (entry point
relad.methods), whether or not the study takes it in. It is trained for a few updates on six made-up
people of 16 x 24 x 16 voxels: seconds on a CPU. A line says ok, or FAILED with what to do, or
skipped and why; the exit status is 1 where a check failed.

  relad check-method unet
  relad check-method mymethod --settings config/my-study.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace

from relad.cli import add_settings
from relad.compute.devices import set_threads
from relad.conformance import Status, examine
from relad.errors import ReladError
from relad.study import plugins
from relad.study.config import installed_method, load_settings
from relad.study.settings import TrainedMethod, TrainSettings, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="id of a method or ablation")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.settings, TrainSettings)
    if args.method not in settings.methods:
        try:
            entry = typed(TrainedMethod, installed_method(args.method))
        except ReladError as error:
            raise ReladError(
                f"the study has no method {args.method!r}, and {error.what}",
                hint=f"the study's: {', '.join(settings.methods)}; {error.hint}",
            ) from None
        settings = replace(settings, methods={args.method: entry})
    elif others := plugins.bringing(args.method):
        print(
            f"check-method: {args.method} is the study's own; that of {', '.join(others)} is not "
            "examined, and no study takes it in by this name: rename its entry point",
            file=sys.stderr,
        )
    set_threads(settings.training.threads)
    found = Counter[Status]()
    for outcome in examine(args.method, settings):
        print(outcome, flush=True)
        found[outcome.status] += 1
    print(", ".join(f"{found[status]} {status}" for status in Status))
    return 1 if found[Status.FAILED] else 0
