"""Train one method on the training part of one fold.

The loop knows no method by name: it draws batches, calls the method's update, keeps the moving
average of its generator, logs, and stores checkpoints. Every random number is a function of
(fold, seed, update), so a killed training that is started again ends with the same weights, and all
methods see the same volumes in the same order.

Output folder: model.safetensors (moving average of the generator, and the training fold's data
space), log.csv (losses), train.json
(counts, measured time and memory, provenance). While training, checkpoint.pt lies beside them.
SIGTERM and SIGINT store a checkpoint first; the exit status is then 75.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from relad import provenance
from relad import space as spaces
from relad.cli import add_settings
from relad.config import load_settings, section
from relad.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import whole_file, write_json, write_table
from relad.method import Batch, Method, build
from relad.space import DataSpace

#: Exit status of a training that was asked to stop and can be continued (EX_TEMPFAIL).
STOPPED = 75
PACKAGES = ("torch", "numpy", "safetensors")


def generator_for(*key: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A random generator that is a function of ``key`` alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def choose_device(wanted: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` to a device.

    Raises
    ------
    ReladError
        If CUDA is asked for and absent.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ReladError("training.device is 'cuda', but no CUDA device is available")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def input_channels(data: PackedDataset, inputs: list[str]) -> list[int]:
    """Channels of the packed MRI that a method's ``inputs`` name."""
    missing = set(inputs) - set(data.modalities)
    if missing:
        raise ReladError(f"has no {', '.join(sorted(missing))}", file=data.path)
    return [data.modalities.index(name) for name in inputs]


def load_batch(
    data: PackedDataset,
    pairs: list[tuple[int, int]],
    channels: list[int],
    space: DataSpace,
    flip: list[bool] | None = None,
) -> Batch:
    """Read (subject, tracer) pairs from the packed dataset; ``flip`` mirrors left and right."""
    device = space.outside.device
    mri, pet, mask = [], [], []
    for i, (subject, k) in enumerate(pairs):
        step = -1 if flip is not None and flip[i] else 1
        mri.append(data.mri[subject][channels][:, ::step])
        pet.append(data.pet[subject, k][None, ::step])
        mask.append(data.mask[subject][None, ::step])
    tracer = torch.tensor([k for _, k in pairs], device=device)
    brain = torch.from_numpy(np.stack(mask)).to(device)
    return Batch(
        mri=space.inputs(torch.from_numpy(np.stack(mri)).to(device), brain),
        tracer=tracer,
        mask=brain,
        pet=space.to_target(torch.from_numpy(np.stack(pet)).to(device), tracer, brain),
        outside=space.outside,
    )


class BatchSampler:
    """Batch of every update: epochs of shuffled pairs, a function of (fold, seed, update)."""

    def __init__(self, pairs: list[tuple[int, int]], batch_size: int, *, fold: int, seed: int):
        self.pairs = pairs
        self.batch_size = batch_size
        self.key = (fold, seed)

    def _pair(self, draw: int) -> tuple[int, int]:
        epoch, position = divmod(draw, len(self.pairs))
        order = torch.randperm(len(self.pairs), generator=generator_for("order", *self.key, epoch))
        return self.pairs[int(order[position])]

    def __call__(self, update: int) -> tuple[list[tuple[int, int]], list[bool]]:
        """Pairs of an update, and whether each is mirrored."""
        first = update * self.batch_size
        flips = torch.rand(self.batch_size, generator=generator_for("flip", *self.key, update))
        return (
            [self._pair(first + i) for i in range(self.batch_size)],
            [bool(value < 0.5) for value in flips],
        )


class MovingAverage:
    """Exponential moving average of a network's parameters; buffers are taken as they are.

    The decay rises as (1 + n) / (10 + n) up to ``decay``, so that short trainings average too.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network = deepcopy(network).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, updates: int) -> None:
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for average, value in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(value, 1 - decay)
        for (name, average), value in zip(
            self.network.named_buffers(), network.buffers(), strict=True
        ):
            if average.shape == value.shape:
                average.copy_(value)
            else:  # a buffer that took its size from the first batch
                owner, _, leaf = name.rpartition(".")
                setattr(self.network.get_submodule(owner), leaf, value.clone())


class Stop:
    """Remembers that SIGTERM or SIGINT came, so that the loop can end between two updates."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        def ask(signum: int, frame: object) -> None:
            self.asked = True

        before = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far in MB: of the GPU on CUDA, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def fingerprint(settings: Mapping[str, Any], data: PackedDataset) -> str:
    """What a checkpoint must agree with to be continued: settings and packed data."""
    text = json.dumps([settings, data.info, data.subjects], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Trainer:
    """One training: a method, its moving average, its log, and where it stands.

    Parameters
    ----------
    data
        Packed training cohort.
    name
        Id of the method in ``settings["methods"]``.
    settings
        Sections ``methods`` and ``training`` of the configuration.
    fold, seed
        Held-out fold and seed of the training.
    """

    def __init__(
        self, data: PackedDataset, name: str, settings: Mapping[str, Any], *, fold: int, seed: int
    ):
        self.data, self.name, self.settings = data, name, settings
        self.fold, self.seed = fold, seed
        self.entry = settings["methods"][name]
        self.options = settings["training"]
        self.device = choose_device(self.options["device"])
        self.channels = input_channels(data, self.entry["inputs"])
        self.pairs = data.pairs(fold, "train")
        self.space = DataSpace.of(
            self.options["space"],
            data,
            self.pairs,
            self.channels,
            mirrored=self.options["flip_augmentation"],
        ).to(self.device)
        torch.manual_seed(int(generator_for("init", fold, seed).initial_seed()))
        self.method: Method = build(
            name,
            self.entry,
            inputs=spaces.input_channels(self.options["space"], len(self.channels)),
            tracers=len(data.tracers),
        ).to(self.device)
        self.batches = BatchSampler(self.pairs, self.options["batch_size"], fold=fold, seed=seed)
        single_pass = -(-len(self.pairs) // self.options["batch_size"])
        self.total = single_pass if self.method.single_pass else self.options["updates"]
        self.average = MovingAverage(self.method.generator, self.options["ema_decay"])
        self.base_lr = {
            key: [group["lr"] for group in optimizer.param_groups]
            for key, optimizer in self.method.optimizers.items()
        }
        self.done = 0
        self.seconds = 0.0
        self.log: list[dict[str, Any]] = []
        self.losses: dict[str, list[float]] = {}  # since the log's last row

    # --- one update --------------------------------------------------------------------------

    def batch(self, update: int) -> Batch:
        if self.method.single_pass:
            size = self.options["batch_size"]
            pairs, flip = self.pairs[update * size : (update + 1) * size], None
        else:
            pairs, flip = self.batches(update)
        if not self.options["flip_augmentation"]:
            flip = None
        return load_batch(self.data, pairs, self.channels, self.space, flip)

    def step(self) -> dict[str, Tensor]:
        """Do the next update."""
        progress = self.done / self.total
        for key, optimizer in self.method.optimizers.items():
            for group, lr in zip(optimizer.param_groups, self.base_lr[key], strict=True):
                group["lr"] = lr * self.method.lr_factor(progress, key)
        batch = self.batch(self.done)
        random = generator_for("update", self.fold, self.seed, self.done, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            losses = self.method.update(batch, progress=progress, random=random)
        self.done += 1
        self.average.update(self.method.generator, self.done)
        return losses

    # --- checkpoints ---------------------------------------------------------------------------

    def save_checkpoint(self, path: Path) -> None:
        state = {
            "fingerprint": fingerprint(self.settings, self.data),
            "done": self.done,
            "seconds": self.seconds,
            "log": self.log,
            "losses": self.losses,
            "method": self.method.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizers": {k: o.state_dict() for k, o in self.method.optimizers.items()},
        }
        with whole_file(path) as temporary:
            torch.save(state, temporary)

    def load_checkpoint(self, path: Path) -> bool:
        """Continue from a checkpoint of this very training; say so and start anew if it is not."""
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            fits = state["fingerprint"] == fingerprint(self.settings, self.data)
        except Exception as error:  # torch.load raises many types on a damaged file
            print(f"{path}: not readable ({error}); training starts anew", file=sys.stderr)
            return False
        if not fits:
            print(f"{path}: of other settings or data; training starts anew", file=sys.stderr)
            return False
        self.method.load_state_dict(state["method"])
        self.average.network.load_state_dict(state["average"])
        for key, optimizer in self.method.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
        self.done, self.seconds = state["done"], state["seconds"]
        self.log, self.losses = state["log"], state["losses"]
        return True

    # --- the loop ------------------------------------------------------------------------------

    def run(self, out: Path) -> int:
        """Train to the end and write the model; return the exit status."""
        checkpoint = out / "checkpoint.pt"
        if self.load_checkpoint(checkpoint):
            print(f"{self.name}: continues at update {self.done} of {self.total}", file=sys.stderr)
        started = time.perf_counter() - self.seconds
        with Stop().listening() as stop, progress_bar(self) as bar:
            while self.done < self.total and not stop.asked:
                self.remember(self.step())
                self.seconds = time.perf_counter() - started
                self.write_log_row()
                bar.update()
                if self.done % self.options["checkpoint_every"] == 0:
                    self.save_checkpoint(checkpoint)
        if self.done < self.total:
            self.save_checkpoint(checkpoint)
            print(f"{self.name}: stopped at update {self.done}; run again", file=sys.stderr)
            return STOPPED
        self.write(out)
        checkpoint.unlink(missing_ok=True)
        return 0

    def remember(self, losses: Mapping[str, Tensor]) -> None:
        """Keep the losses of an update for the log; stop where one is not finite."""
        for key, value in losses.items():
            number = float(value)
            if not np.isfinite(number):
                raise ReladError(
                    f"method {self.name!r}: loss {key!r} is {number} at update {self.done}",
                    hint="lower its learning rate in config/methods.yaml",
                )
            self.losses.setdefault(key, []).append(number)

    def write_log_row(self) -> None:
        """Log the mean losses once per hundredth of the training."""
        if self.done % max(1, self.total // 100) == 0 or self.done == self.total:
            means = {key: float(np.mean(values)) for key, values in self.losses.items()}
            self.log.append({"update": self.done, "seconds": round(self.seconds, 3), **means})
            self.losses = {}

    def write(self, out: Path) -> None:
        parts = {"generator": self.average.network, "space": self.space}
        weights = {
            f"{part}.{key}": value.contiguous().cpu()
            for part, module in parts.items()
            for key, value in module.state_dict().items()
        }
        columns = list(dict.fromkeys(key for row in self.log for key in row))
        write_table(out / "log.csv", self.log, columns)
        with whole_file(out / "model.safetensors") as temporary:
            save_file(weights, temporary)
        count = sum(p.numel() for p in self.method.generator.parameters())
        everything = sum(p.numel() for p in self.method.parameters())
        write_json(
            out / "train.json",
            {
                "method": self.name,
                "fold": self.fold,
                "seed": self.seed,
                "cohort": self.data.cohort,
                "simulated": self.data.simulated,
                "entry": self.entry,
                "inputs": spaces.input_channels(self.options["space"], len(self.channels)),
                "tracers": self.data.tracers,
                "counts": {
                    "parameters_generator": count,
                    "parameters_total": everything,
                    "updates": self.total,
                    "batch_size": self.options["batch_size"],
                    "pairs": len(self.pairs),
                },
                "measured": {
                    "seconds": round(self.seconds, 2),
                    "peak_memory_mb": round(peak_memory_mb(self.device), 1),
                    "device": device_name(self.device),
                    "threads": torch.get_num_threads(),
                },
                "provenance": provenance.describe("train", self.settings, *PACKAGES),
            },
        )


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def progress_bar(trainer: Trainer) -> tqdm:
    """Updates, speed and remaining time: live on a terminal, one line in ten seconds in a file."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=trainer.total,
        initial=trainer.done,
        desc=f"train {trainer.name}",
        unit="update",
        mininterval=0.5 if terminal else 10,
        file=sys.stderr,
        ascii=not terminal,
        ncols=None if terminal else 90,
    )


def set_threads(count: int) -> None:
    """Fix torch's threads: their number can change the last bits of a sum."""
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(True, warn_only=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packed", type=Path, help="packed training cohort")
    parser.add_argument("out", type=Path, help="folder of the model")
    parser.add_argument("--method", required=True, help="id in config/methods.yaml or ablations")
    parser.add_argument("--fold", type=int, required=True, help="held-out fold")
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.settings)
    known = settings["methods"]
    if args.method not in known:
        raise ReladError(f"no method {args.method!r}", hint=f"known: {', '.join(known)}")
    settings = section(settings, "train", method=args.method)
    set_threads(settings["training"]["threads"])
    data = PackedDataset(args.packed)
    trainer = Trainer(data, args.method, settings, fold=args.fold, seed=args.seed)
    return trainer.run(args.out)
