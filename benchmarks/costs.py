"""Cost of training steps and network evaluations by method and size, and its report."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from benchmarks.contestants import RELEASE, Contestant, Size, contestant
from benchmarks.measure import (
    counted_evaluation,
    counted_step,
    cycle,
    in_turns,
    network_evaluation,
    peak_of,
    training_step,
)
from benchmarks.parts import Parts
from benchmarks.report import table
from relad.study.paths import REPOSITORY


def volumes_per_step(size: Size, *, many: int = 2, up_to: int = 250_000) -> int:
    """Batch size: the embedded study's two, one for volumes of more voxels than ``up_to``."""
    return many if math.prod(size) <= up_to else 1


def label(size: Size) -> str:
    return "x".join(map(str, size))


def measure(
    parts: Parts,
    names: Sequence[str],
    sizes: Sequence[Size],
    settings: Mapping[str, Any],
    device: torch.device,
    *,
    seconds: float,
) -> None:
    """Measure every method at every size.

    On the CPU the methods take turns, as other work on the machine then slows all of them alike,
    and peak memory is that of a process of its own. On a GPU, which one job has to itself, each
    method is measured alone.
    """
    who = {name: contestant(name, settings) for name in names}
    for size in sizes:
        for group in [names] if device.type == "cpu" else [[name] for name in names]:
            which = "all" if device.type == "cpu" else group[0]
            chosen = [who[name] for name in group]
            parts(
                f"train/{label(size)}/{which}",
                lambda c=chosen, s=size: _survive(lambda: time_steps(c, s, device, seconds)),
            )
            parts(
                f"sample/{label(size)}/{which}",
                lambda c=chosen, s=size: _survive(lambda: time_evaluations(c, s, device, seconds)),
            )
        for name in names:
            key = f"{label(size)}/{name}"
            parts(f"memory/{key}", lambda c=who[name], s=size: peak_memory(c, s, device, settings))


def count_all(
    parts: Parts, names: Sequence[str], sizes: Sequence[Size], settings: Mapping[str, Any]
) -> None:
    """Count the operations of every method at every size, which needs no machine in particular."""
    for size in sizes:
        for name in names:
            who = contestant(name, settings)
            parts(f"count/{label(size)}/{name}", lambda c=who, s=size: counts(c, s))


def _survive(work: Callable[[], Any]) -> Any:
    """A method that does not fit is a result, not the end of the benchmark."""
    try:
        return work()
    except torch.OutOfMemoryError:
        return {"out_of_memory": True}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def time_steps(
    chosen: Sequence[Contestant], size: Size, device: torch.device, seconds: float
) -> dict[str, Any]:
    batch = volumes_per_step(size)
    steps = {c.name: training_step(c, size, batch, device) for c in chosen}
    work = {c.name: (lambda c=c: steps[c.name](cycle(c)), cycle(c)) for c in chosen}
    return {"batch": batch, "by_method": in_turns(work, device, seconds=seconds)}


def time_evaluations(
    chosen: Sequence[Contestant], size: Size, device: torch.device, seconds: float
) -> dict[str, Any]:
    batch, work = volumes_per_step(size), {}
    for c in chosen:
        evaluation = network_evaluation(c, size, batch, device)
        work[c.name] = (evaluation, evaluation.evaluations)
    return {"batch": batch, "by_method": in_turns(work, device, seconds=seconds)}


def counts(who: Contestant, size: Size) -> dict[str, Any]:
    return {
        "step": counted_step(who, size, volumes_per_step(size)),
        "evaluation": counted_evaluation(who, size),
    }


def peak_memory(
    who: Contestant, size: Size, device: torch.device, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Peak memory in MB of a few training steps and of synthesis."""
    if device.type == "cpu":
        return {what: _in_own_process(who, size, what, settings) for what in ("train", "sample")}

    def train() -> float:
        step = training_step(who, size, volumes_per_step(size), device)
        return peak_of(lambda: step(cycle(who)), device)

    def sample() -> float:
        return peak_of(network_evaluation(who, size, volumes_per_step(size), device), device)

    return {"train": _survive(train), "sample": _survive(sample)}


def _in_own_process(who: Contestant, size: Size, what: str, settings: Mapping[str, Any]) -> float:
    given = json.dumps([who.name, size, what, dict(settings), torch.get_num_threads()])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.alone"],
        input=given,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


# --- the report ----------------------------------------------------------------------------------


class Costs:
    """What was measured, by size and method; None where it was not."""

    def __init__(self, parts: Parts, counted: Parts, names: Sequence[str], sizes: Sequence[Size]):
        self.parts, self.counts, self.names = parts, counted, list(names)
        self.ceilings = parts.get("ceilings") or {}
        self.sizes = [size for size in sizes if self._known(size)]

    def _known(self, size: Size) -> bool:
        known = (*self.parts.state["parts"], *self.counts.state["parts"])
        return any(f"/{label(size)}/" in key for key in known)

    def _timed(self, what: str, size: Size, name: str) -> dict[str, Any]:
        for which in ("all", name):
            part = self.parts.get(f"{what}/{label(size)}/{which}") or {}
            if name in part.get("by_method", {}):
                return {**part["by_method"][name], "batch": part.get("batch", 1)}
        return {}

    def step_seconds(self, size: Size, name: str) -> float | None:
        """Seconds per volume of a training step."""
        return self._seconds_per_volume("train", size, name)

    def _seconds_per_volume(self, what: str, size: Size, name: str) -> float | None:
        found = self._timed(what, size, name)
        return found["seconds"] / found["batch"] if found else None

    def evaluation_seconds(self, size: Size, name: str) -> float | None:
        """Seconds per volume of a network evaluation in synthesis."""
        return self._seconds_per_volume("sample", size, name)

    def memory_mb(self, size: Size, name: str, what: str = "train") -> float | None:
        found = (self.parts.get(f"memory/{label(size)}/{name}") or {}).get(what)
        return None if isinstance(found, dict) else found  # out of memory

    def counted(self, size: Size, name: str, what: str, key: str) -> float | None:
        return (self.counts.get(f"count/{label(size)}/{name}") or {}).get(what, {}).get(key)

    def ratios(self, steps: Mapping[str, int]) -> str:
        """Every method against the release's step, as a table; more than 1 is better than it."""
        rows = []
        for size in self.sizes:
            for name in self.names:
                if name == RELEASE:
                    continue
                row = {"size": label(size), "method": name}
                row["trains"] = _times(
                    self.step_seconds(size, RELEASE), self.step_seconds(size, name)
                )
                row["memory in training"] = _share(
                    self.memory_mb(size, name), self.memory_mb(size, RELEASE)
                )
                row["estimated memory"] = _share(
                    self.counted(size, name, "step", "memory_mb"),
                    self.counted(size, RELEASE, "step", "memory_mb"),
                )
                row["operations per step"] = _share(
                    self.counted(size, name, "step", "operations"),
                    self.counted(size, RELEASE, "step", "operations"),
                )
                row["one evaluation"] = _times(
                    self.evaluation_seconds(size, RELEASE), self.evaluation_seconds(size, name)
                )
                row["a volume"] = _times(
                    _product(self.evaluation_seconds(size, RELEASE), steps[RELEASE]),
                    _product(self.evaluation_seconds(size, name), steps[name]),
                )
                rows.append(row)
        return table(rows)

    def absolute(self, matmul: str = "matmul_float32") -> str:
        """What was measured, as a table."""
        rows = []
        for size in self.sizes:
            for name in self.names:
                timed = self._timed("train", size, name)
                seconds = timed.get("seconds")
                operations = self.counted(size, name, "step", "operations")
                moved = self.counted(size, name, "step", "bytes")
                rows.append(
                    {
                        "size": label(size),
                        "method": name,
                        "batch": timed.get("batch", ""),
                        "step (s)": _number(seconds, "{:.3g}"),
                        "fastest-slowest": f"{timed['fastest']:.3g}-{timed['slowest']:.3g}"
                        if timed
                        else "",
                        "peak memory (MB)": _number(self.memory_mb(size, name), "{:.0f}"),
                        "estimated (MB)": _number(
                            self.counted(size, name, "step", "memory_mb"), "{:.0f}"
                        ),
                        "GFLOP per step": _number(_product(operations, 1e-9), "{:.4g}"),
                        "of matmul": _rate(operations, seconds, self.ceilings.get(matmul)),
                        "of copy": _rate(moved, seconds, self.ceilings.get("copy_bytes")),
                        "evaluation of a volume (s)": _number(
                            self.evaluation_seconds(size, name), "{:.3g}"
                        ),
                    }
                )
        return table(rows)

    def targets(self, rows: Sequence[tuple[str, Size, str, float]]) -> str:
        """Table of targets of `rela`: (what, size, ``trains`` or ``memory``, bound)."""
        out = []
        for what, size, kind, bound in rows:
            if kind == "trains":
                value = _divide(self.step_seconds(size, RELEASE), self.step_seconds(size, "rela"))
                met = value is not None and value >= bound
                shown, wanted = _number(value, "{:.1f} x"), f"at least {bound:g} x"
            else:
                value = _divide(self.memory_mb(size, "rela"), self.memory_mb(size, RELEASE))
                met = value is not None and value <= bound
                shown, wanted = _number(value, "{:.0%}"), f"at most {bound:.0%}"
            verdict = "not measured" if value is None else "met" if met else "NOT met"
            out.append({"`rela` against the release's step": f"{what}, {label(size)}"}
                       | {"target": wanted, "measured": shown, "": verdict})  # fmt: skip
        return table(out)


def _divide(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _product(a: float | None, b: float) -> float | None:
    return None if a is None else a * b


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _times(theirs: float | None, ours: float | None) -> str:
    value = _divide(theirs, ours)
    return "" if value is None else f"{value:,.1f} x" if value < 100 else f"{value:,.0f} x"


def _share(ours: float | None, theirs: float | None) -> str:
    value = _divide(ours, theirs)
    return "" if value is None else f"{value:.0%}" if value > 0.02 else f"{value:.1%}"


def _rate(amount: float | None, seconds: float | None, ceiling: float | None) -> str:
    rate = _divide(amount, seconds)
    value = _divide(rate, ceiling)
    return "" if value is None else f"{value:.0%}"
