"""Synthesise PET with one trained model.

On the training cohort the held-out fold's subjects are synthesised, on any other cohort all, in one
with the role apply every tracer that the model was trained for; sampling.batch_size volumes at
once. A volume's noise is a function of (seed, subject, tracer, number of the sample), so but for
rounding it does not depend on its neighbours. Output: one NIfTI in SUVR per subject and tracer, on
the packed grid in MNI space (0 outside the brain), and synthesis.json with the measured time and
memory.

Diffusion methods sample as --sampler, --steps, --samples and --temperature say, without being
trained again. Of several samples the mean is the synthetic PET, and their standard deviation (SUVR)
is written beside it as its uncertainty, desc-spread; each sample is written too, desc-sample1 and
on, for the evaluation (int16 with a scale). Methods that are not random make one image, whatever is
asked.

Example:
  relad synthesize results/models/rela/fold-0_seed-0 results/packed/sim-train out \\
      --sampler dpmpp --steps 10
  relad synthesize results/models/rela/fold-0_seed-0 results/packed/sim-train out \\
      --sampler ddim --steps 5 --samples 8

MODEL is the folder of `relad train`, or a bundle of `relad export`.

People of another cohort who were in that of the model (the same id, or the same MRI) are an error,
or are left out, as the cohort's known_people says.

--method names another entry of the configuration that samples the same model in another way; the
results then stand under its id.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from relad.bundle import model_folder
from relad.cli import above_zero, add_settings, whole_number
from relad.compute.devices import (
    choose_device,
    device_name,
    load_per_core,
    peak_memory_mb,
    set_threads,
)
from relad.data.batches import Pair, Volumes, in_batches, input_channels
from relad.data.dataset import PackedDataset
from relad.data.overlap import REFUSE, left_out
from relad.data.scaling import Scaling
from relad.errors import ReladError
from relad.fileio import read_object, whole_folder, write_json
from relad.imaging.nifti import save_nifti
from relad.methods.method import Method
from relad.methods.synthesis import Samples, draw, load_model, noise_of
from relad.status import Kind
from relad.study import paths, provenance
from relad.study.config import load_settings
from relad.study.sampling import SAMPLERS, Sampling
from relad.study.settings import SynthesizeSettings
from relad.training.loop import PACKAGES


def synthesize(
    model: Path,
    packed: Path,
    out: Path,
    *,
    name: str,
    sampling: Sampling,
    batch_size: int,
    device: torch.device,
    known_people: Mapping[str, str],
) -> None:
    """Write the synthetic PET of a cohort under a method's ``name``, see the module's docstring.

    ``known_people``: by cohort, what becomes of people whom the model was trained with.
    """
    method, scaling, info = load_model(model, device)
    data = PackedDataset(packed)
    if data.tracers != info["tracers"]:
        raise ReladError(
            f"holds tracers {data.tracers}, but the model was trained on {info['tracers']}",
            file=packed,
        )
    _require_preprocessed_alike(data, info, model)
    part = "test" if data.cohort == info["cohort"] else "all"
    if part == "test" and info.get("data", data.fingerprint) != data.fingerprint:
        raise ReladError(
            f"is not the {data.cohort} that {model} was trained on: its held-out people may be "
            "people it saw",
            file=packed,
            hint="train the model again",
        )
    trained = info.get("trained_tracers", data.tracers)  # of models older than this key
    untrained = [tracer for tracer in data.tracers if tracer not in trained]
    known = left_out(info, data, known_people.get(data.cohort, REFUSE), model)
    pairs = [
        (i, k)
        for i, k in data.pairs(info["fold"], part)
        if data.tracers[k] in trained and data.subjects[i]["subject"] not in known
    ]
    if untrained:
        print(
            f"{model}: not synthesised: {', '.join(untrained)}, of which it saw no PET in training",
            file=sys.stderr,
        )
    if not pairs:
        raise ReladError(
            f"has no PET of the tracers {', '.join(trained)}"
            + (" of people whom the model does not know" if known else ""),
            file=packed,
        )
    # What a model learnt from simulated scans is no patient's PET, whoever's MRI it is given.
    learnt = Kind(info.get("kind", data.kind))  # of models older than this key
    kind = Kind.of_parts([data.kind, learnt])
    note = ", ".join(filter(None, [kind.mark, "{}, SUVR", name]))
    samples = sampling.samples if method.stochastic else 1
    unfinished: defaultdict[Pair, Samples] = defaultdict(Samples)
    seconds = []
    bar = tqdm(
        total=len(pairs),
        desc=f"synthesize {name}",
        unit="volume",
        mininterval=0.5 if sys.stderr.isatty() else 10,
    )
    with whole_folder(out, mark="synthesis.json") as folder, bar:
        for pair, number, volume, each in _volumes(
            method, scaling, info, data, pairs, samples, sampling, batch_size, device
        ):
            of = data.subjects[pair[0]]["subject"], data.tracers[pair[1]]
            if samples > 1:
                said = note.format(f"synthetic PET, sample {number} of {samples}")
                file = folder / paths.sample_pet(*of, number)
                save_nifti(file, volume, data.affine, note=said, compact=True)
            unfinished[pair].add(volume, each)
            if unfinished[pair].count < samples:
                continue
            done = unfinished.pop(pair)
            seconds.append(done.seconds)
            for what, file, image in (
                ("synthetic PET", paths.synthetic_pet(*of), done.mean),
                ("spread of samples", paths.spread_pet(*of), done.spread),
            ):
                if image is not None:
                    save_nifti(folder / file, image, data.affine, note=note.format(what))
            bar.update()
        write_json(
            folder / "synthesis.json",
            {
                "cohort": data.cohort,
                "kind": kind,
                "method": name,
                "sampler": method.sampler_name(sampling),
                "evaluations": method.evaluations(sampling),
                "samples": samples,
                "fold": info["fold"],
                "seed": info["seed"],
                "subjects": data.names(pairs),
                "untrained": untrained,
                "left_out": known,
                "data": data.fingerprint,
                "model": {"data": info.get("data"), "updates": info["counts"]["updates"]},
                "batch_size": batch_size,
                "seconds_per_volume": round(statistics.median(seconds), 4),
                "peak_memory_mb": round(peak_memory_mb(device), 1),
                "load_per_core": load_per_core(),
                "device": device_name(device),
                "provenance": provenance.describe(
                    "synthesize",
                    {"sampling": vars(sampling), "model": info["provenance"]["settings"]},
                    *PACKAGES,
                ),
            },
        )


def _require_preprocessed_alike(data: PackedDataset, info: Mapping[str, Any], model: Path) -> None:
    """Refuse people who were not brought to the grid as those whom the model was trained on."""
    ours, theirs = data.preprocessing, info.get("preprocessing")
    if ours is None or theirs is None:  # packed or trained before it was kept
        return
    for section in ("grid", "registration"):
        keys = [k for k in theirs[section] if k != "threads"]
        differing = [k for k in keys if ours[section].get(k) != theirs[section][k]]
        if differing:
            raise ReladError(
                "was preprocessed in another way than the people that "
                f"{model} was trained on ({', '.join(f'{section}.{key}' for key in differing)})",
                file=data.path,
                hint="preprocess them alike",
            )


def _volumes(
    method: Method,
    scaling: Scaling,
    info: Mapping[str, Any],
    data: PackedDataset,
    pairs: Sequence[Pair],
    samples: int,
    sampling: Sampling,
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[Pair, int, np.ndarray, float]]:
    """Yield every sample of each pair: its number (from 1), (x, y, z) SUVR, and its seconds.

    Each is of its own noise, whatever the batch.
    """
    channels = input_channels(data, info["entry"]["inputs"])
    brains = Volumes(data, channels, device)
    for draws in in_batches([(p, k) for p in pairs for k in range(samples)], batch_size):
        names = [(data.subjects[i]["subject"], data.tracers[k]) for (i, k), _ in draws]
        given = brains.given([pair for pair, _ in draws], scaling)
        started = time.perf_counter()
        volumes = draw(
            method,
            scaling,
            given,
            sampling,
            [data.windows[tracer] for _, tracer in names],
            [
                noise_of(info["seed"], *name, number, device)
                for name, (_, number) in zip(names, draws, strict=True)
            ],
            info.get("precision", "auto"),  # of models older than this key
        )
        each = (time.perf_counter() - started) / len(draws)
        for (pair, number), volume in zip(draws, volumes, strict=True):
            yield pair, number + 1, volume, each


#: Steps and samples beyond it are a slip; what is below 1 is Sampling's to refuse.
_MOST = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="folder of the trained model, or its bundle")
    parser.add_argument("packed", type=Path, help="packed cohort")
    parser.add_argument("out", type=Path, help="folder of the synthetic images")
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        help="; ".join(f"{name}: {what}" for name, what in SAMPLERS.items())
        + " (default: as the settings say, with their steps)",
    )
    parser.add_argument(
        "--steps", type=whole_number(-_MOST, _MOST), help="network evaluations of one sample"
    )
    parser.add_argument(
        "--samples",
        type=whole_number(-_MOST, _MOST),
        help="samples whose mean is the image and whose spread is written",
    )
    parser.add_argument(
        "--temperature",
        type=above_zero,
        help="standard deviation of the noise that is sampled from",
    )
    parser.add_argument(
        "--method", metavar="ID", help="entry of the configuration (default: the one trained)"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings, SynthesizeSettings)
    set_threads(settings.sampling.threads)
    with model_folder(args.model) as model:
        _run(model, args, settings)


def _run(model: Path, args: argparse.Namespace, settings: SynthesizeSettings) -> None:
    trained = read_object(model / paths.TRAINING_RECORD, ["method"])["method"]
    name = args.method or trained
    if args.method is not None:
        _require_trained_as(name, trained, settings, args.model)
    synthesize(
        model,
        args.packed,
        args.out,
        name=name,
        sampling=choose_sampling(name, args, settings),
        batch_size=settings.sampling.batch_size,
        device=choose_device("auto"),
        known_people={c: entry.known_people for c, entry in settings.cohorts.items()},
    )


def _require_trained_as(name: str, trained: str, settings: SynthesizeSettings, model: Path) -> None:
    """Refuse an entry that does not sample this model."""
    if name not in settings.methods:
        raise ReladError(f"no method {name!r}", hint=f"known: {', '.join(settings.methods)}")
    wanted = settings.methods[name].trained_as
    if wanted != trained:
        raise ReladError(f"is a model of {trained}, but {name} samples one of {wanted}", file=model)


def choose_sampling(
    method: str, args: argparse.Namespace, settings: SynthesizeSettings
) -> Sampling:
    """The sampling of the command line, else of the method's entry, else of the study."""
    entry = settings.methods[method].sampling if method in settings.methods else {}
    options = {}
    for name in ("sampler", "steps", "samples", "temperature"):
        given = getattr(args, name)
        usual = entry.get(name, getattr(settings.sampling, name))
        options[name] = usual if given is None else given
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
