"""Cost of training and sampling on this machine's CPU, against the release's step in MONAI parts.

    python -m benchmarks.cpu results/benchmarks/cpu --report docs/benchmarks

Time is taken in turns (one block of four steps of each method, again and again), memory in a
process per method, operations from shapes alone. Started again, it does what is missing. OUT
receives cpu.json, counts.json (no machine in particular) and cpu.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.contestants import RELEASE, Size, contestant, described, parse_size
from benchmarks.costs import Costs, count_all, label, measure
from benchmarks.machine import describe
from benchmarks.measure import ceilings, in_turns, network_evaluation
from benchmarks.parts import Parts
from benchmarks.report import parameters, table
from relad.cli import add_settings
from relad.compute.devices import set_threads
from relad.fileio import write_text
from relad.study import config

SIZES = "48x48x48 48x56x48 72x84x72 96x112x96"
#: Counted from shapes alone.
COUNTED = "160x180x160"
#: Grid of the embedded study, and numbers of volumes synthesised at once.
GRID, BATCHES = (40, 48, 40), (1, 2, 4, 8)
#: What, size, kind, bound; see :meth:`Costs.targets`.
TARGETS = [
    ("volumes trained per second", (48, 56, 48), "trains", 8.0),
    ("volumes trained per second", (96, 112, 96), "trains", 4.0),
    ("peak memory in training", (48, 56, 48), "memory", 0.5),
    ("peak memory in training", (96, 112, 96), "memory", 0.5),
]


def run(args: argparse.Namespace) -> None:
    settings = config.load(args.settings or config.DEFAULT)
    set_threads(args.threads)
    device = torch.device("cpu")
    sizes = [parse_size(text) for text in args.sizes]
    counted = [parse_size(text) for text in args.counted]
    names = [*dict.fromkeys(args.methods), RELEASE]
    methods = described(names, settings)
    parts = Parts(args.out / "cpu.json", {"machine": describe(device), "methods": methods})
    counts = Parts(args.out / "counts.json", {"methods": methods})
    parts("ceilings", lambda: ceilings(device, seconds=min(4.0, args.seconds)))
    count_all(counts, names, [*sizes, *counted], settings)
    parts("batches", lambda: time_batches(settings, device, args.seconds))
    measure(parts, names, sizes, settings, device, seconds=args.seconds)
    text = render(parts, counts, names, [*sizes, *counted], settings)
    write_text((args.report or args.out) / "cpu.md", text)


def time_batches(
    settings: Mapping[str, Any], device: torch.device, seconds: float
) -> dict[str, float]:
    """Seconds per volume and network evaluation of `rela`, by number of volumes in a batch."""
    work = {}
    for count in BATCHES:
        one = network_evaluation(contestant("rela", settings), GRID, count, device)
        work[str(count)] = (one, one.evaluations * count)
    return {count: v["seconds"] for count, v in in_turns(work, device, seconds=seconds).items()}


def batches(parts: Parts) -> str:
    """Table of :func:`time_batches`."""
    seconds = parts.get("batches")
    return table(
        [
            {"volumes at once": n, "volumes per second": f"{seconds['1'] / seconds[str(n)]:.1f} x"}
            for n in BATCHES
        ]
    )


def render(
    parts: Parts,
    counts: Parts,
    names: list[str],
    sizes: list[Size],
    settings: Mapping[str, Any],
) -> str:
    costs = Costs(parts, counts, names, list(dict.fromkeys(sizes)))
    steps = {name: contestant(name, settings).steps for name in names}
    evaluations = ", ".join(f"{name} {n}" for name, n in steps.items())
    machine = parts.state["about"]["machine"]
    floor = parts.get("ceilings")
    return f"""# Training and sampling on a CPU

Made by `python -m benchmarks.cpu` on {machine["summary"]}. Random volumes, float32. The release's
step is the published one in MONAI parts, see [release.py](../../benchmarks/release.py).

## Against the release's step

`trains`: volumes trained per second. `memory`, `operations`: what the method needs of what the
release's step needs (`estimated`: from shapes alone). `one evaluation`: network evaluations per
second in synthesis, in batches as in training. `a volume`: volumes synthesised per second, each
method with its own number of network evaluations ({evaluations}; forward-only methods make one).

{costs.ratios(steps)}
{costs.targets(TARGETS)}
## How many volumes at once

Volumes of {label(GRID)} voxels that `rela` synthesises per second in batches, against one at a
time, which PyTorch computes on the CPU with a slower convolution of its own.

{batches(parts)}
## What was measured

Absolute times depend on what else the machine does; the methods took turns, so ratios do not.
`fastest-slowest`: of the turns. `peak memory`: of a process that trains this method alone, Python
and PyTorch included. `estimated`: most bytes of tensors alive at one time, from shapes alone.
`GFLOP`: matrix products, convolutions and attention, a multiplication and an addition being two.
`of matmul`, `of copy`: operations, and bytes read and written by operators, against what a
matrix product of random numbers ({floor["matmul_float32"] / 1e9:.0f} GFLOP/s) and a copy
({floor["copy_bytes"] / 1e9:.1f} GB/s) reach here at best; other work on the machine lowers the
shares, and above 100% this machine's convolutions are faster than its matrix products. Sizes
without times were counted, not run.

{costs.absolute()}
## The methods

What the configuration gave them; the rest are their defaults.

{parameters({name: who["entry"] for name, who in parts.state["about"]["methods"].items()})}"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder of cpu.json")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder of cpu.md")
    parser.add_argument("--sizes", nargs="+", default=SIZES.split(), help="of volumes, in voxels")
    parser.add_argument(
        "--counted", nargs="*", default=[COUNTED], help="sizes whose operations are only counted"
    )
    parser.add_argument(
        "--methods", nargs="+", default=["rela"], help="ids in the settings' methods"
    )
    parser.add_argument("--seconds", type=float, default=60, help="of timing per size")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    add_settings(parser)
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
