"""Whether each method can learn one pair by heart: updates until its PSNR exceeds a limit.

  python -m benchmarks.overfit results/packed/sim-train --updates 600

One person's MRI and PET of one tracer is the whole training set, in the data scaling of the
training fold; learning rates follow the method's own course over all updates. PSNR is taken in the
brain, in packed units, of a synthesis by the generator's last weights with the method's sampler.
A method that cannot do this cannot do more. CycleGAN, whose losses know no pairs, is told no more
here than that this is the one PET there is; FICD and RelA in the paper's settings are sampled from
noise in many steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.contestants import contestant, make
from benchmarks.report import table
from relad.compute.devices import choose_device
from relad.compute.randomness import generator_for
from relad.data.batch import Batch
from relad.data.batches import Volumes, input_channels
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.errors import ReladError
from relad.methods.method import Method
from relad.study.config import load
from relad.study.sampling import Sampling
from relad.training.validation import psnr

FOLD, SEED = 0, 0


def overfit(
    method: Method,
    batch: Batch,
    updates: int,
    *,
    judge: Callable[[], float],
    every: int,
) -> list[tuple[int, float]]:
    """Train on one batch alone; (update, PSNR) at every so many updates, the last included."""
    base = {k: [g["lr"] for g in o.param_groups] for k, o in method.optimizers.items()}
    seen = []
    for update in range(1 if method.single_pass else updates):
        progress = update / updates
        for key, optimizer in method.optimizers.items():
            for group, lr in zip(optimizer.param_groups, base[key], strict=True):
                group["lr"] = lr * method.lr_factor(progress, key)
        random = generator_for("update", FOLD, SEED, update, device=batch.mri.device)
        torch.manual_seed(random.initial_seed())
        method.update(batch, progress=progress, random=random)
        last = method.single_pass or update + 1 == updates
        if last or (update + 1) % every == 0:
            seen.append((update + 1, judge()))
    return seen


def row(
    name: str, data: PackedDataset, settings: Mapping[str, Any], device: torch.device, options: Any
) -> dict[str, Any]:
    """One method's line of the table."""
    who = contestant(name, settings)
    channels = input_channels(data, who.entry.inputs)
    pairs = data.pairs(FOLD, "train")
    scaling = Scaling.of(who.scaling, data, pairs, channels, mirrored=True).to(device)
    volumes = Volumes(data, channels, device)
    batch = volumes.batch(pairs[:1], scaling)
    method = make(who, device=device)

    def judge() -> float:
        method.eval()
        random = [generator_for("validation", name, device=device)]
        y = method.synthesize(
            batch.condition, sampling=Sampling(who.sampler, who.steps), random=random
        )
        method.train()
        pet = scaling.to_pet(y.float(), batch.tracer, batch.mask)
        return psnr(pet[0], volumes.pet(pairs[0]), batch.mask[0])

    untrained = judge() if not method.single_pass else None
    started = time.perf_counter()
    seen = overfit(method, batch, options.updates, judge=judge, every=options.every)
    reached = next((n for n, value in seen if value > options.limit), None)
    return {
        "method": name,
        "parameters": f"{sum(p.numel() for p in method.generator.parameters()):,}",
        f"updates to {options.limit:g} dB": reached or "not reached",
        "untrained (dB)": "" if untrained is None else f"{untrained:.1f}",
        "at the end (dB)": f"{seen[-1][1]:.1f}",
        "updates": seen[-1][0],
        "seconds": f"{time.perf_counter() - started:.0f}",
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overfit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("packed", type=Path, help="packed training cohort")
    parser.add_argument("--settings", default="config/config.yaml", help="configuration")
    parser.add_argument("--methods", nargs="+", help="default: the groups main and baselines")
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--every", type=int, default=50, help="updates between judgements")
    parser.add_argument("--limit", type=float, default=30.0, help="PSNR in dB")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    settings = load(args.settings)
    known = settings["methods"]
    groups = {"main", "baselines"}
    names = args.methods or [n for n, entry in known.items() if groups & set(entry["groups"])]
    data, device = PackedDataset(args.packed), choose_device(args.device)
    rows = []
    for name in names:
        rows.append(row(name, data, settings, device, args))
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ReladError as error:
        sys.exit(f"error: {error}")
