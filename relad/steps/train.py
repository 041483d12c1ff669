"""Train one method on the training part of one fold.

The loop knows no method by name: it draws batches, calls the method's update, keeps the moving
average of its generator, validates, logs, and stores checkpoints. Every random number is a function
of (fold, seed, update), so a killed training that is started again ends with the same weights, and
all methods see the same volumes in the same order.

Output folder: model.safetensors (moving average of the generator, the best by PSNR of the
validation subjects where the configuration sets some aside, and the training fold's data space),
log.csv (losses, validation PSNR), train.json (counts, measured time and memory, provenance). While
training, checkpoint.pt lies beside them. SIGTERM, SIGINT and SIGUSR1 store a checkpoint first; the
exit status is then 75 (of torchrun itself 1), and the same command continues.

With training.processes in the settings so many processes share the training, each with a GPU of its
own where there are GPUs, and the result is the same up to rounding; training.batch_size must be a
multiple of them. Started as that many tasks of
SLURM (srun), each of these is one of them. Where torchrun starts this command, it decides:

    torchrun --nproc-per-node 2 -m relad train PACKED OUT --method rela --fold 0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from relad.cli import add_settings, whole_number
from relad.compute import parallel
from relad.compute.devices import set_threads
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.study.config import load_settings
from relad.study.settings import TrainSettings
from relad.training.launch import in_processes
from relad.training.loop import Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packed", type=Path, help="packed training cohort")
    parser.add_argument("out", type=Path, help="folder of the model")
    parser.add_argument("--method", required=True, help="id in config/methods.yaml or ablations")
    parser.add_argument("--fold", type=whole_number(0), required=True, help="held-out fold")
    parser.add_argument("--seed", type=whole_number(0), default=0)
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.settings, TrainSettings, fold=args.fold)
    if args.method not in settings.methods:
        known = ", ".join(settings.methods)
        raise ReladError(f"no method {args.method!r}", hint=f"known: {known}")
    return in_processes(settings.training.processes, train, args, settings)


def train(args: argparse.Namespace, settings: TrainSettings) -> int:
    """Be one of the processes of a training."""
    set_threads(settings.training.threads)
    with parallel.processes(settings.training.device):
        data = PackedDataset(args.packed)
        if settings.tuned_on not in (None, data.fingerprint):
            raise ReladError(
                "the study's tuned parameters were found on other data, maybe on test subjects",
                file=args.packed,
                hint="search again (`snakemake tune`), or set tuned to null",
            )
        trainer = Trainer(data, args.method, settings, fold=args.fold, seed=args.seed)
        return trainer.run(args.out)
