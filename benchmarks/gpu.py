"""Agreement, cost and profile of the methods on a GPU at the paper's size.

    python -m benchmarks.gpu results/benchmarks/gpu --report docs/benchmarks

Parts, in this order: `ceilings` of the card; of `rela` and the release's step `agreement` of CUDA
with the CPU and of bfloat16 with float32, `train`, `sample` and `memory`; `profile` of their
slowest kernels; `loader`, its share of a step; `variants` of `rela` (precision, memory format,
compilation, CUDA graphs); the first four of the other methods; `count`, operations from shapes
alone, which another machine may do beforehand (`--only count --device cpu`, then carry
counts.json). After --budget seconds no further part starts; started again, the command does what is
missing. A part that fails is named in the report, and the exit status is 1; the others are measured
all the same. OUT receives gpu.json, counts.json and gpu.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.agreement import agreement
from benchmarks.contestants import RELEASE, Size, contestant, described, parse_size
from benchmarks.costs import Costs, count_all, label, measure
from benchmarks.loading import loader_share
from benchmarks.machine import describe
from benchmarks.measure import ceilings
from benchmarks.parts import Parts
from benchmarks.profiling import profile
from benchmarks.report import parameters, table
from benchmarks.variants import VARIANTS, variant
from relad.cli import add_settings
from relad.compute.devices import choose_device, set_threads
from relad.fileio import write_text
from relad.study import config
from relad.study.paths import REPOSITORY

SIZES = {"paper": ("80x96x80", "160x180x160"), "tiny": ("12x12x12",)}
SMALL: Size = (24, 28, 24)
TARGETS_OF_RELA = [("samples trained per second", "trains", 5.0), ("peak memory", "memory", 0.5)]


def run(args: argparse.Namespace) -> int:
    settings = config.load(args.settings or config.DEFAULT)
    set_threads(settings["training"]["threads"])
    device = choose_device(args.device)
    sizes = [parse_size(text) for text in SIZES.get(args.sizes[0], args.sizes)]
    names = [*(args.methods or learned(settings)), RELEASE]
    methods = described(names, settings)
    parts = Parts(
        args.out / "gpu.json",
        {"machine": describe(device), "methods": methods},
        budget=args.budget,
        only=args.only,
        keep_going=True,
    )
    counts = Parts(
        args.out / "counts.json",
        {"methods": methods},
        budget=args.budget,
        only=args.only,
        keep_going=True,
    )
    parts("ceilings", lambda: ceilings(device, seconds=min(4.0, args.seconds)))
    first = list(dict.fromkeys((names[0], RELEASE)))

    def compare(group: list[str]) -> None:
        for name in group:
            who = contestant(name, settings)
            parts(f"agreement/{name}", lambda w=who: agreement(w, args.small, device))
        measure(parts, group, sizes, settings, device, seconds=args.seconds)

    # What the targets ask comes first, should the time not do for all; on a CPU all take turns.
    compare(names if device.type == "cpu" else first)
    for size in reversed(sizes):
        for name in first:
            who = contestant(name, settings)
            parts(f"profile/{label(size)}/{name}", lambda w=who, s=size: profile(w, s, device))
    for cache in ("never", "always"):
        key = f"loader/{label(sizes[-1])}/{cache}"
        parts(
            key, lambda c=cache: loader_share(names[0], sizes[-1], settings, device, device_cache=c)
        )
    who = contestant(names[0], settings)
    for size in sizes:
        for name, options in VARIANTS.items():
            key = f"variants/{label(size)}/{name}"
            parts(key, lambda s=size, o=options: variant(who, s, device, args.seconds, **o))
    compare(names)
    count_all(counts, names, sizes, settings)
    text = render(parts, counts, names, sizes, settings)
    write_text((args.report or args.out) / "gpu.md", text)
    if parts.left or counts.left:
        print(f"{len(parts.left + counts.left)} parts left: run again", file=sys.stderr)
    failed = parts.failed | counts.failed
    for name, error in failed.items():
        print(f"{name} failed: {error}", file=sys.stderr)
    return 1 if failed else 0


def learned(settings: Mapping[str, Any]) -> list[str]:
    """`rela` first, then every method that is trained by updates and is no ablation."""
    wanted = [n for n, entry in settings["methods"].items() if entry["ablates"] is None]
    trained = [n for n in wanted if settings["methods"][n]["family"] != "floor"]
    return sorted(trained, key=lambda name: name != "rela")


def render(
    parts: Parts,
    counts: Parts,
    names: list[str],
    sizes: list[Size],
    settings: Mapping[str, Any],
) -> str:
    costs = Costs(parts, counts, names, sizes)
    steps = {name: contestant(name, settings).steps for name in names}
    machine = parts.state["about"]["machine"]
    found = parts.get("ceilings") or {}
    best = [
        f"{name} {value / 1e12:.3g} T{'B' if 'copy' in name else 'FLOP'}/s"
        for name, value in found.items()
    ]
    matmul = "matmul_bfloat16" if "matmul_bfloat16" in found else "matmul_float32"
    targets = [(what, size, kind, bound) for size in sizes for what, kind, bound in TARGETS_OF_RELA]
    left = [*parts.left, *counts.left]
    missing = f"**Not measured yet**: {', '.join(left)}; run the command again.\n\n" if left else ""
    broken = parts.failed | counts.failed
    failed = "".join(f"**Failed**: {name}, {error}\n\n" for name, error in broken.items())
    if not any(key.startswith("train/") for key in parts.state["parts"]):
        return _counted_only(parts, costs, steps, failed)
    return f"""# Training and sampling on a GPU

Made by `python -m benchmarks.gpu` on {machine["summary"]}. Random volumes; networks in bfloat16 on
CUDA and float32 on a CPU, the same for all. The release's step is the published one in MONAI parts,
see [release.py](../../benchmarks/release.py).

{missing}{failed}## Against the release's step

`trains`: volumes trained per second. `memory`, `operations`: what the method needs of what the
release's step needs (`estimated`: from shapes alone). `a volume`: volumes synthesised per second,
with the methods' own numbers of network evaluations
({", ".join(f"{name} {n}" for name, n in steps.items())}).

{costs.ratios(steps)}
{costs.targets(targets)}
## Agreement

Relative difference ||a - b|| / ||b|| of a synthesised volume and of an update's losses.

{table(_rows(parts, "agreement/"))}
## What was measured

Ceilings: {", ".join(best)}. Columns as in
[cpu.md](cpu.md).

{costs.absolute(matmul)}
## Where a step's time goes

`busy`: share of the step in which a kernel ran; then the slowest five, with their shares of it.

{table(_rows(parts, "profile/"))}
## The loader

Share of a training's time in which it waits for batches, from memory-mapped files and from volumes
kept on the device.

{table(_rows(parts, "loader/"))}
## What pays for `{names[0]}`

{table(_rows(parts, "variants/"))}
## The methods

{parameters({name: who["entry"] for name, who in parts.state["about"]["methods"].items()})}"""


def _counted_only(parts: Parts, costs: Costs, steps: Mapping[str, int], failed: str) -> str:
    return f"""# Training and sampling on a GPU

**Nothing was measured on a GPU yet.** What follows was counted from shapes alone by
`python -m benchmarks.gpu OUT --device cpu --only count` with the methods of config/adni.yaml;
`python -m benchmarks.gpu OUT`, on a machine with a GPU, measures the rest.

{failed}## Against the release's step

What a method needs of what the release's step in MONAI parts needs, see
[release.py](../../benchmarks/release.py).

{costs.ratios(steps)}
## What was counted

One float32 training step. `estimated`: most bytes of tensors alive at one time, without workspaces;
bfloat16 needs about half of it. `GFLOP`: matrix products, convolutions and attention.

{costs.absolute()}
## The methods

{parameters({name: who["entry"] for name, who in parts.state["about"]["methods"].items()})}"""


def _rows(parts: Parts, prefix: str) -> list[dict[str, Any]]:
    found = [(k, v) for k, v in parts.state["parts"].items() if k.startswith(prefix)]
    return [{"": key.removeprefix(prefix), **value} for key, value in found] or [{"": "none"}]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder of gpu.json and counts.json")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder of gpu.md")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cuda")
    parser.add_argument(
        "--sizes", nargs="+", default=["paper"], help=f"{', '.join(SIZES)}, or voxels (80x96x80)"
    )
    parser.add_argument("--methods", nargs="+", help="ids; default: all that learn")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="as named above")
    parser.add_argument("--budget", type=float, default=510, help="seconds, see above")
    parser.add_argument("--seconds", type=float, default=5, help="of timing per method and size")
    parser.add_argument("--small", type=parse_size, default=SMALL, help="size for the agreement")
    add_settings(parser, REPOSITORY / "config" / "adni.yaml")
    started = time.monotonic()
    status = run(parser.parse_args(argv))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
