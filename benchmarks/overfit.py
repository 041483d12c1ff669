"""Whether each method can learn one pair by heart: updates until its PSNR exceeds a limit.

  python -m benchmarks.overfit results/packed/sim-train results/overfit

One person's MRI and PET of one tracer is the whole training set, in the data scaling of the
training fold; learning rates follow the method's own course over all updates, and training ends
where the limit is exceeded. PSNR is taken in the brain, in packed units, of a synthesis by the
generator's last weights with the method's sampler. A method that cannot do this cannot do more.
CycleGAN, whose losses know no pairs, is told no more here than that this is the one PET there is;
what its losses do hold to this PET, what comes back of it by way of the MRI that it makes, has a
line of its own. FICD and RelA in the paper's settings are sampled from noise in many steps.

OUT receives overfit.json and the table, overfit.md, after every method. Started again, it
continues with the methods that are not in them, and with those whose code has changed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from baselines.cyclegan import CycleGAN
from benchmarks import report
from benchmarks.contestants import contestant, described, make
from benchmarks.machine import banner, describe
from benchmarks.parts import Parts
from relad.cli import above_zero, add_settings, whole_number
from relad.compute.devices import choose_device
from relad.compute.randomness import generator_for
from relad.data.batch import Batch
from relad.data.batches import Volumes, input_channels
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.fileio import write_text
from relad.methods.method import Method, class_of
from relad.study import config
from relad.study.fingerprints import fingerprint
from relad.study.sampling import Sampling
from relad.training.validation import psnr

FOLD, SEED = 0, 0
THERE_AND_BACK = ", PET by way of MRI"


def overfit(
    method: Method,
    batch: Batch,
    updates: int,
    *,
    judge: Callable[[], float],
    every: int,
    limit: float,
) -> list[tuple[int, float]]:
    """Train on one batch alone; (update, PSNR) at every so many updates, the last included.

    The last is that at which PSNR exceeds the limit, or the last of ``updates``.
    """
    base = {k: [g["lr"] for g in o.param_groups] for k, o in method.optimizers.items()}
    seen = []
    total = 1 if method.single_pass else updates
    wait = 0.5 if sys.stderr.isatty() else 10
    for update in tqdm(range(total), unit="update", mininterval=wait):
        progress = update / updates
        for key, optimizer in method.optimizers.items():
            for group, lr in zip(optimizer.param_groups, base[key], strict=True):
                group["lr"] = lr * method.lr_factor(progress, key)
        random = generator_for("update", FOLD, SEED, update, device=batch.mri.device)
        torch.manual_seed(random.initial_seed())
        method.update(batch, progress=progress, random=random)
        if update + 1 == total or (update + 1) % every == 0:
            seen.append((update + 1, judge()))
            if seen[-1][1] > limit:
                break
    return seen


def row(
    name: str,
    data: PackedDataset,
    settings: Mapping[str, Any],
    device: torch.device,
    options: Any,
    *,
    there_and_back: bool = False,
) -> dict[str, Any]:
    """One method's line of the table; of CycleGAN also that of PET made of MRI made of PET."""
    who = contestant(name, settings)
    channels = input_channels(data, who.entry.inputs)
    pairs = data.pairs(FOLD, "train")
    scaling = Scaling.of(who.scaling, data, pairs, channels, mirrored=True).to(device)
    volumes = Volumes(data, channels, device)
    batch = volumes.batch(pairs[:1] * options.copies, scaling)
    method = make(who, device=device)
    method.prepare([batch])  # all the data there are

    @torch.no_grad()
    def image() -> Tensor:
        if there_and_back:
            return method.to_pet(method.to_mri(batch.pet, batch), batch)
        random = [
            generator_for("validation", name, k, device=device) for k in range(len(batch.pet))
        ]
        return method.synthesize(
            batch.condition, sampling=Sampling(who.sampler, who.steps), random=random
        )

    def judge() -> float:
        method.eval()
        y = image()
        method.train()
        pet = scaling.to_pet(y.float(), batch.tracer, batch.mask)
        return psnr(pet[0], volumes.pet(pairs[0]), batch.mask[0])

    untrained = judge() if not method.single_pass else None
    started = time.perf_counter()
    seen = overfit(
        method, batch, options.updates, judge=judge, every=options.every, limit=options.limit
    )
    updates, value = seen[-1]
    return {
        "method": f"{name}{THERE_AND_BACK}" if there_and_back else name,
        "parameters": f"{sum(p.numel() for p in method.generator.parameters()):,}",
        "untrained (dB)": "" if untrained is None else f"{untrained:.1f}",
        f"updates to {options.limit:g} dB": updates if value > options.limit else "not reached",
        "at the end (dB)": f"{value:.1f}",
        "seconds": f"{time.perf_counter() - started:.0f}",
    }


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("overfit", __doc__)
    parser.add_argument("packed", type=Path, help="packed training cohort")
    parser.add_argument("out", type=Path, help="folder of overfit.json and overfit.md")
    parser.add_argument("--methods", nargs="+", help="default: all that are no ablation")
    parser.add_argument("--updates", type=whole_number(1), default=3000)
    parser.add_argument(
        "--every", type=whole_number(1), default=100, help="updates between judgements"
    )
    parser.add_argument(
        "--copies",
        type=whole_number(1),
        default=1,
        help="of the pair in every batch: PyTorch's convolutions of one small map are slow on a "
        "CPU, CycleGAN's three times",
    )
    parser.add_argument("--limit", type=above_zero, default=30.0, help="PSNR in dB")
    parser.add_argument("--device", default="auto")
    add_settings(parser)
    args = parser.parse_args(argv)

    def text() -> str:
        settings = config.load(args.settings or config.DEFAULT)
        known = settings["methods"]
        names = args.methods or [n for n, entry in known.items() if entry["ablates"] is None]
        data, device = PackedDataset(args.packed), choose_device(args.device)
        about = {
            "machine": describe(device),
            "data": data.fingerprint,
            "methods": described(list(known), settings),
            **{key: getattr(args, key) for key in ("updates", "every", "limit", "copies")},
        }
        parts = Parts(args.out / "overfit.json", about)
        rows: list[dict[str, Any]] = []
        told = ""
        for name in names:
            entry = contestant(name, settings).entry
            code = fingerprint(entry.class_.partition(":")[0])
            one = partial(row, name, data, settings, device, args)
            rows.append(parts(f"{name} ({code})", one))
            if issubclass(class_of(name, entry), CycleGAN):
                other = partial(one, there_and_back=True)
                rows.append(parts(f"{name}{THERE_AND_BACK} ({code})", other))
            told = f"{banner(data.kind)}{about['machine']['summary']}.\n\n{report.table(rows)}"
            write_text(args.out / "overfit.md", told)
        return told

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
