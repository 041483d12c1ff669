"""Synthesise PET with one trained model.

On the training cohort the held-out fold's subjects are synthesised, on any other cohort all. A
volume's noise is a function of (seed, subject, tracer), so it does not depend on its neighbours in
the cohort. Output: one NIfTI in SUVR per subject and tracer, on the packed grid in MNI space (0
outside the brain), and synthesis.json with the measured time and memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from relad import paths, provenance
from relad.cli import add_settings
from relad.config import load_settings
from relad.dataset import PackedDataset
from relad.diffusion.samplers import SAMPLERS
from relad.errors import ReladError
from relad.fileio import read_json, save_nifti, whole_folder, write_json
from relad.method import Method, Sampling, build
from relad.space import DataSpace
from relad.training import (
    PACKAGES,
    choose_device,
    device_name,
    generator_for,
    input_channels,
    load_batch,
    peak_memory_mb,
    set_threads,
)
from relad.window import to_suvr


def load_model(folder: Path, device: torch.device) -> tuple[Method, DataSpace, dict]:
    """Load a trained model.

    Returns
    -------
    The method with its averaged generator, ready to synthesise, the data space it was trained
    in, and its ``train.json``.

    Raises
    ------
    ReladError
        Where a file is missing or the weights do not fit the method.
    """
    info = read_json(folder / "train.json")
    method = build(
        info["method"], info["entry"], inputs=info["inputs"], tracers=len(info["tracers"])
    )
    weights = folder / "model.safetensors"
    try:
        parts: dict[str, dict[str, torch.Tensor]] = {"generator": {}, "space": {}}
        for key, value in load_file(weights).items():
            part, _, name = key.partition(".")
            parts[part][name] = value
        method.generator.load_state_dict(parts["generator"])
        space = DataSpace(parts["space"])
    except FileNotFoundError:
        raise ReladError("no such weights", file=weights, hint="run `relad train`") from None
    except Exception as error:  # safetensors has its own exception type per damage
        raise ReladError(
            f"does not hold the weights of {info['method']!r} ({' '.join(str(error).split())})",
            file=weights,
            hint="train the model again",
        ) from None
    return method.to(device).eval(), space.to(device), info


def synthesize(
    model: Path, packed: Path, out: Path, *, sampling: Sampling, device: torch.device
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
    note = f"synthetic PET, SUVR, {info['method']}" + (", simulated" if data.simulated else "")
    seconds = []
    with whole_folder(out) as folder:
        for pair in tqdm(
            pairs,
            desc=f"synthesize {info['method']}",
            unit="volume",
            mininterval=0.5 if sys.stderr.isatty() else 10,
        ):
            subject, tracer = data.subjects[pair[0]]["subject"], data.tracers[pair[1]]
            batch = load_batch(data, [pair], channels, space)
            random = generator_for("synthesis", info["seed"], subject, tracer, device=device)
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                target = method.synthesize(batch, sampling=sampling, random=random)
            pet = space.to_pet(target.float(), batch.tracer, batch.mask)
            suvr = to_suvr(pet, data.windows[tracer])
            suvr = torch.where(batch.mask, suvr, 0.0)[0, 0].cpu().numpy()
            seconds.append(time.perf_counter() - started)
            save_nifti(folder / paths.synthetic_pet(subject, tracer), suvr, data.affine, note=note)
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
    parser.add_argument("--sampler", choices=SAMPLERS, help="for diffusion methods")
    parser.add_argument("--steps", type=int, help="network evaluations of the sampler")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    options = load_settings(args.settings)["sampling"]
    set_threads(options["threads"])
    sampling = Sampling(args.sampler or options["sampler"], args.steps or options["steps"])
    synthesize(args.model, args.packed, args.out, sampling=sampling, device=choose_device("auto"))
