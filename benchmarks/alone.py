"""Run one contestant in this process and print the process's peak memory in MB.

Reads [name, size, "train" or "sample", settings, threads] as JSON from standard input.
"""

from __future__ import annotations

import json
import sys

import torch

from benchmarks.contestants import contestant
from benchmarks.costs import volumes_per_step
from benchmarks.measure import cycle, network_evaluation, peak_of, training_step
from relad.compute.devices import set_threads


def main() -> None:
    name, size, what, settings, threads = json.load(sys.stdin)
    set_threads(threads)
    device = torch.device("cpu")
    who, size = contestant(name, settings), tuple(size)
    if what == "sample":
        work = network_evaluation(who, size, volumes_per_step(size), device)
    else:
        step = training_step(who, size, volumes_per_step(size), device)

        def work() -> None:
            step(1 + cycle(who))  # the first step makes the optimisers' states

    print(peak_of(work, device))


if __name__ == "__main__":
    main()
