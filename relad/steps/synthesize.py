"""Synthesise PET with one trained model.

On the training cohort the held-out fold's subjects are synthesised, on any other cohort all;
sampling.batch_size volumes at once. A volume's noise is a function of (seed, subject, tracer,
number of the sample), so but for rounding it does not depend on its neighbours. Output: one NIfTI
in SUVR per subject and tracer, on the packed grid in MNI space (0 outside the brain), and
synthesis.json with the measured time and memory.

Diffusion methods sample as --sampler, --steps and --samples say, without being trained again. Of
several samples the mean is the synthetic PET, and their standard deviation (SUVR) is written beside
it as its uncertainty, desc-spread. Methods that are not random make one image, whatever is asked.

Example:
  relad synthesize results/models/rela/fold-0_seed-0 results/packed/sim-train out \\
      --sampler dpmpp --steps 10
  relad synthesize results/models/rela/fold-0_seed-0 results/packed/sim-train out \\
      --sampler ddim --steps 5 --samples 8
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from relad.cli import add_settings
from relad.compute.devices import choose_device, device_name, peak_memory_mb, set_threads
from relad.compute.randomness import generator_for
from relad.data.batches import Pair, in_batches, input_channels, load_batch
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, save_nifti, whole_folder, write_json
from relad.methods.synthesis import Samples, draw, load_model
from relad.study import paths, provenance
from relad.study.config import load_settings
from relad.study.sampling import SAMPLERS, Sampling
from relad.training.loop import PACKAGES

#: Volumes computed at once where the configuration does not say.
BATCH_SIZE = 4


def synthesize(
    model: Path,
    packed: Path,
    out: Path,
    *,
    sampling: Sampling,
    batch_size: int,
    device: torch.device,
) -> None:
    """Write the synthetic PET of a cohort, see the module's docstring."""
    method, space, info = load_model(model, device)
    data = PackedDataset(packed)
    if data.tracers != info["tracers"]:
        raise ReladError(
            f"holds tracers {data.tracers}, but the model was trained on {info['tracers']}",
            file=packed,
        )
    part = "test" if data.cohort == info["cohort"] else "all"
    pairs = data.pairs(info["fold"], part)
    channels = input_channels(data, info["entry"]["inputs"])
    simulated = ", simulated" if data.simulated else ""
    note = f"synthetic PET, SUVR, {info['method']}{simulated}"
    spread_note = f"spread of samples, SUVR, {info['method']}{simulated}"
    samples = sampling.samples if method.stochastic else 1
    unfinished: defaultdict[Pair, Samples] = defaultdict(Samples)
    seconds = []
    bar = tqdm(
        total=len(pairs),
        desc=f"synthesize {info['method']}",
        unit="volume",
        mininterval=0.5 if sys.stderr.isatty() else 10,
    )
    with whole_folder(out, mark="synthesis.json") as folder, bar:
        for draws in in_batches([(p, k) for p in pairs for k in range(samples)], batch_size):
            names = [(data.subjects[i]["subject"], data.tracers[k]) for (i, k), _ in draws]
            batch = load_batch(data, [pair for pair, _ in draws], channels, space)
            started = time.perf_counter()
            volumes = draw(
                method,
                space,
                batch.condition,
                sampling,
                [data.windows[tracer] for _, tracer in names],
                [
                    generator_for("synthesis", info["seed"], *name, number, device=device)
                    for name, (_, number) in zip(names, draws, strict=True)
                ],
                info.get("precision", "auto"),  # of models older than this key
            )
            each = (time.perf_counter() - started) / len(draws)
            for (pair, _), name, volume in zip(draws, names, volumes, strict=True):
                unfinished[pair].add(volume, each)
                if unfinished[pair].count < samples:
                    continue
                done = unfinished.pop(pair)
                seconds.append(done.seconds)
                save_nifti(folder / paths.synthetic_pet(*name), done.mean, data.affine, note=note)
                if done.spread is not None:
                    file = folder / paths.spread_pet(*name)
                    save_nifti(file, done.spread, data.affine, note=spread_note)
                bar.update()
        write_json(
            folder / "synthesis.json",
            {
                "cohort": data.cohort,
                "simulated": data.simulated,
                "method": info["method"],
                "sampler": method.sampler_name(sampling),
                "evaluations": method.evaluations(sampling),
                "fold": info["fold"],
                "seed": info["seed"],
                "subjects": sorted({data.subjects[i]["subject"] for i, _ in pairs}),
                "batch_size": batch_size,
                "seconds_per_volume": round(statistics.median(seconds), 4),
                "peak_memory_mb": round(peak_memory_mb(device), 1),
                "device": device_name(device),
                "provenance": provenance.describe(
                    "synthesize",
                    {"sampling": vars(sampling), "model": info["provenance"]["settings"]},
                    *PACKAGES,
                ),
            },
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="folder of the trained model")
    parser.add_argument("packed", type=Path, help="packed cohort")
    parser.add_argument("out", type=Path, help="folder of the synthetic images")
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        help="; ".join(f"{name}: {what}" for name, what in SAMPLERS.items())
        + " (default: as the settings say, with their steps)",
    )
    parser.add_argument("--steps", type=int, help="network evaluations of one sample")
    parser.add_argument(
        "--samples", type=int, help="samples whose mean is the image and whose spread is written"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    set_threads(settings["sampling"]["threads"])
    synthesize(
        args.model,
        args.packed,
        args.out,
        sampling=choose_sampling(args, settings),
        batch_size=settings["sampling"].get("batch_size", BATCH_SIZE),
        device=choose_device("auto"),
    )


def choose_sampling(args: argparse.Namespace, settings: Mapping[str, Any]) -> Sampling:
    """The sampling of the command line, else of the method's entry, else of the study."""
    method = read_json(args.model / "train.json")["method"]
    entry = settings.get("methods", {}).get(method, {}).get("sampling", {})
    options = {}
    for name in ("sampler", "steps", "samples"):
        given = getattr(args, name)
        options[name] = entry.get(name, settings["sampling"][name]) if given is None else given
    try:
        sampling = Sampling(**options)
    except ValueError as error:
        raise ReladError(str(error)) from None
    if args.steps not in (None, sampling.steps):
        raise ReladError(
            f"--steps {args.steps}, but the sampler {sampling.sampler} takes {sampling.steps}",
            hint="choose another with --sampler",
        )
    return sampling
