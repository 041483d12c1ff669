"""Search one method's parameters on the validation subjects of one fold.

What is searched stands in the file that `tuning.space` names (config/search.yaml); how many
trials, of how many updates, in section `tuning`: the same for every method. A trial is a training
as any other, on the fold's training subjects without those of `training.validation`, and its score
is the PSNR of these few: the one by which a training chooses its weights. Test subjects are not
read. Trial 0 has the parameters of the methods' file, so that a search ends with none that validate
worse. A trial whose loss is not finite counts, as failed.

Output folder: trials.csv (every trial: parameters, score, updates, size, seconds, memory),
tuned.yaml (what was found, as the study's key `tuned` takes it), search.json (the same, with whom
it was found on and provenance), trials/ (each trial's log). A killed search is continued by the
same command, to the same result; with more trials it goes on from those there are. On SIGTERM,
SIGINT and SIGUSR1 the exit status is 75.

  relad search results/packed/sim-train out --method unet --fold 0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from relad.cli import add_settings, whole_number
from relad.compute.devices import set_threads
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.locks import sole_writer
from relad.study.config import load_settings
from relad.study.settings import SearchSettings
from relad.tuning import findings
from relad.tuning.search import Search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packed", type=Path, help="packed training cohort")
    parser.add_argument("out", type=Path, help="folder of the search")
    parser.add_argument("--method", required=True, help="id in config/methods.yaml or ablations")
    parser.add_argument("--fold", type=whole_number(0), required=True, help="held-out fold")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.settings, SearchSettings)
    if args.method not in settings.methods:
        known = ", ".join(settings.methods)
        raise ReladError(f"no method {args.method!r}", hint=f"known: {known}")
    set_threads(settings.training.threads)
    data = PackedDataset(args.packed)
    search = Search(data, args.method, settings, fold=args.fold, out=args.out)
    with sole_writer(args.out):
        status = search.run()
        if status == 0:
            findings.write(search)
    return status
