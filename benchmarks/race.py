"""Validation PSNR against wall time and against updates: `rela` and the release's step.

All contestants are trained by the project's own loop on the same packed cohort, fold, batches and
validation subjects, in one process that always advances the one that has had the least time, so
that whatever else the machine does slows all of them alike. Time is that of the updates alone.

    python -m benchmarks.race results/packed/sim-train results/race --report docs/benchmarks

Started again, it continues. OUT receives the models and race.json; the report is race.md and
race.png.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import banner, describe
from benchmarks.report import parameters, table
from relad.cli import add_settings
from relad.compute import parallel
from relad.compute.devices import set_threads
from relad.data.dataset import PackedDataset
from relad.fileio import read_json, whole_file, write_json, write_text
from relad.status import Kind
from relad.study import config
from relad.study.sampling import Sampling
from relad.study.settings import TrainSettings, plain, typed
from relad.training import validation
from relad.training.loop import Trainer

#: Sampling steps (DDIM) whose PSNR is compared when the trainings are over.
STEPS = (1, 5, 10, 25)


def contestants(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Id -> label, entry of the method, data scaling, DDIM steps in validation."""
    ours = settings["methods"]["rela"]
    release = {**ours, "class": "benchmarks.release:ReleaseStep", "params": {}}
    faster = {"lr": 5e-4, "lr_discriminator": 5e-5}
    return {
        "rela": {
            "label": "rela",
            "entry": ours,
            "scaling": settings["training"]["scaling"],
            "steps": 1,
        },
        "release": {
            "label": "release's step",
            "entry": release,
            "scaling": "window",
            "steps": 10,
        },
        "release-10lr": {
            "label": "release's step, learning rates x 10, our data scaling",
            "entry": {**release, "params": faster},
            "scaling": settings["training"]["scaling"],
            "steps": 10,
        },
    }


def trainer(
    data: PackedDataset, name: str, contestant: dict[str, Any], settings: dict[str, Any],
    *, updates: int, every: int, subjects: int,
) -> Trainer:  # fmt: skip
    training = {
        **settings["training"],
        "updates": updates,
        "scaling": contestant["scaling"],
        "validation": {"subjects": subjects, "every": every},
    }
    entry = {**contestant["entry"], "validated_by": f"ddim-{contestant['steps']}"}
    part = {"methods": {name: entry}, "training": training}
    return Trainer(data, name, typed(TrainSettings, part), fold=0, seed=0)


def seconds_per_update(data: PackedDataset, running: dict[str, Any], settings: dict) -> dict:
    """Time of an update of each contestant with its adversary on, in turns."""
    trainers = {
        name: trainer(data, name, c, settings, updates=12, every=10**9, subjects=1)
        for name, c in running.items()
    }
    for _ in range(12):
        for one in trainers.values():
            one.advance() if one.done + 1 < one.total else None
            if one.done == 4:  # warmed up, adversary on
                one.seconds["updates"] = 0.0
    return {name: one.seconds["updates"] / (one.done - 4) for name, one in trainers.items()}


def train(data: PackedDataset, plan: dict[str, Any], settings: dict[str, Any], out: Path) -> dict:
    """Train all contestants in turns to the end; return them."""
    running = contestants(settings)
    trainers = {}
    for name in plan["updates"]:
        trainers[name] = trainer(
            data, name, running[name], settings,
            updates=plan["updates"][name], every=plan["every"], subjects=plan["subjects"],
        )  # fmt: skip
        trainers[name].load_checkpoint(out / name / "checkpoint.pt")
    shown = time.monotonic()
    while unfinished := [name for name, one in trainers.items() if one.done < one.total]:
        name = min(unfinished, key=lambda n: trainers[n].seconds["updates"])
        one = trainers[name]
        row = one.advance()
        if row and "validation_psnr" in row:
            one.save_checkpoint(out / name / "checkpoint.pt")
        if one.done == one.total:
            one.write(out / name)
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            left = sum(
                (o.total - o.done) * o.seconds["updates"] / max(o.done, 1)
                for o in trainers.values()
            )
            where = ", ".join(f"{n} {o.done}/{o.total}" for n, o in trainers.items())
            print(f"race: {where}; about {left:.0f} s of updates left", file=sys.stderr)
    return trainers


def by_steps(one: Trainer) -> dict[str, float]:
    """Validation PSNR of the best weights by number of DDIM steps."""
    network = one.average.network
    network.load_state_dict(one.best["weights"])
    values = {}
    for steps in STEPS:
        synthesize = validation.with_generator(one.method, network, Sampling("ddim", steps))
        values[str(steps)] = validation.mean_psnr(
            synthesize, one.volumes, one.scaling, one.validation_pairs, one.options.batch_size
        )
    return values


def run(args: argparse.Namespace) -> None:
    settings = config.load(args.settings or config.DEFAULT)
    set_threads(args.threads)
    settings["training"] |= {"threads": args.threads, "device": args.device}
    data = PackedDataset(args.packed)
    file = args.out / "race.json"
    if file.exists():
        state = read_json(file)
    else:
        every_contestant = contestants(settings)
        cost = seconds_per_update(data, every_contestant, settings)
        updates = {name: max(args.validations, int(args.seconds / s)) for name, s in cost.items()}
        state = {
            "kind": data.kind,
            "cohort": data.cohort,
            "grid": list(data.shape),
            "machine": describe(torch.device(args.device)),
            "plan": {
                "seconds": args.seconds,
                "updates": updates,
                "every": max(1, min(updates.values()) // args.validations),
                "subjects": args.subjects,
            },
            "steps": {},
        }
        write_json(file, state)
    trainers = train(data, state["plan"], settings, args.out)
    state["contestants"] = {
        name: {
            "label": contestants(settings)[name]["label"],
            "validation_steps": contestants(settings)[name]["steps"],
            "scaling": contestants(settings)[name]["scaling"],
            "entry": {k: plain(one.entry)[k] for k in ("class", "params")},
            "batch_size": one.options.batch_size,
            "seconds": one.seconds,
            "updates": one.done,
            "best": {"psnr": one.best["psnr"], "update": one.best["update"]},
            "log": [row for row in one.log.rows if "validation_psnr" in row],
        }
        for name, one in trainers.items()
    }
    write_json(file, state)
    for name, one in trainers.items():
        if name not in state["steps"]:
            state["steps"][name] = by_steps(one)
            write_json(file, state)
    report(state, args.report or args.out)


# --- the report ---------------------------------------------------------------------------------


def at(log: list[dict], key: str, limit: float) -> dict | None:
    """Last validation not after ``limit``."""
    rows = [row for row in log if row[key] <= limit * (1 + 1e-9)]
    return rows[-1] if rows else None


def report(state: dict[str, Any], folder: Path) -> None:
    """Write race.md and race.png."""
    running = state["contestants"]
    ours = running["rela"]
    rows = []
    for name, c in running.items():
        if name == "rela":
            continue
        last = c["log"][-1]
        time_, update = at(ours["log"], "seconds", last["seconds"]), None
        update = at(ours["log"], "update", last["update"])
        rows.append(
            {
                "against": c["label"],
                "updates in the same time": f"{ours['updates'] / c['updates']:.1f} x",
                "equal wall time": _gain(time_, last),
                "equal updates": _gain(update, last),
                "best of each": f"{ours['best']['psnr'] - c['best']['psnr']:+.2f} dB",
            }
        )
    absolute = [
        {
            "contestant": c["label"],
            "data scaling": c["scaling"],
            "updates": c["updates"],
            "seconds of updates": f"{c['seconds']['updates']:.0f}",
            "best PSNR (dB)": f"{c['best']['psnr']:.2f} at update {c['best']['update']}",
            **{f"{k} steps": f"{v:.2f}" for k, v in state["steps"].get(name, {}).items()},
        }
        for name, c in running.items()
    ]
    plan = state["plan"]
    text = f"""# Validation PSNR against wall time and updates

{banner(Kind(state["kind"]))}Made by `python -m benchmarks.race`. Cohort {state["cohort"]},
grid {" x ".join(map(str, state["grid"]))}, fold 0, {plan["subjects"]} validation subjects cut from
the training folds (all their tracers), batch {ours["batch_size"]}, {state["machine"]["summary"]}.
PSNR in the brain, data range the SUVR window, weights averaged. While training, `rela` is judged by
one network evaluation per volume and the release's step by {running["release"]["validation_steps"]}
DDIM steps. The release itself was trained for 34,100 updates of one volume (100 epochs of 341):
what is compared is what a budget buys, not where long trainings end.

## `rela` against the release's step

Differences in PSNR: positive where `rela` is better. Equal updates are the release's last update;
equal wall time is the release's whole training time.

{table(rows)}
{_reading(ours, [c for name, c in running.items() if name != "rela"])}
![Validation PSNR against wall time and updates](race.png)

## What was measured

The last columns are the PSNR of each contestant's best weights by number of DDIM steps.

{table(absolute)}
## The contestants

What the configuration gave them; the rest are their defaults.

{parameters({c["label"]: c["entry"] for c in running.values()})}"""
    write_text(folder / "race.md", text)
    _draw(state, folder / "race.png")


def _reading(ours: dict[str, Any], others: list[dict[str, Any]]) -> str:
    """How much of the lead at equal updates `rela` had from the start, and how much it learned."""
    first = ours["log"][0]
    then = [at(ours["log"], "update", c["log"][-1]["update"]) for c in others]
    told = ", ".join(
        dict.fromkeys(f"{r['validation_psnr']:.2f} dB at update {r['update']}" for r in then if r)
    )
    return f"""**How to read the lead.** With scaling `{ours["scaling"]}` a method may start from
the training fold's mean. `rela` has {first["validation_psnr"]:.2f} dB at its first validation,
update {first["update"]}; {told}, when the others end; and
{ours["best"]["psnr"]:.2f} dB at its best, update {ours["best"]["update"]}.
"""


def _gain(ours: dict | None, theirs: dict) -> str:
    if ours is None:
        return "not validated by then"
    return f"{ours['validation_psnr'] - theirs['validation_psnr']:+.2f} dB"


def _draw(state: dict[str, Any], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for c in state["contestants"].values():
        psnr = [row["validation_psnr"] for row in c["log"]]
        for ax, key in zip(axes, ("seconds", "update"), strict=True):
            ax.plot([row[key] for row in c["log"]], psnr, marker="o", ms=2.5, label=c["label"])
    axes[0].set_xlabel("wall-clock time of updates (s)")
    axes[1].set_xlabel("updates")
    axes[1].set_xscale("log")
    axes[0].set_ylabel("validation PSNR in the brain (dB)")
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(Kind(state["kind"]).note, fontsize=9)
    with whole_file(file) as temporary:
        figure.savefig(temporary, dpi=160)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.race",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("packed", type=Path, help="packed training cohort")
    parser.add_argument("out", type=Path, help="folder of the models and of race.json")
    parser.add_argument("--report", type=Path, metavar="DIR", help="of race.md and race.png")
    parser.add_argument("--seconds", type=float, default=900, help="of updates per contestant")
    parser.add_argument("--validations", type=int, default=8, help="of the slowest contestant")
    parser.add_argument("--subjects", type=int, default=2, help="validation subjects")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    add_settings(parser)
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    assert parallel.size() == 1
    sys.exit(main())
