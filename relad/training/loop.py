"""The training loop. It knows no method by name and is the same for all."""

from __future__ import annotations

import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relad.compute import parallel
from relad.compute.devices import (
    autocast,
    choose_device,
    device_name,
    load_per_core,
    peak_memory_mb,
)
from relad.compute.randomness import generator_for
from relad.data import overlap, seen
from relad.data import scaling as scalings
from relad.data.batches import (
    BatchSampler,
    Loader,
    PairsInTurn,
    Volumes,
    fits_on,
    in_batches,
    input_channels,
)
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.errors import ReladError
from relad.fileio import sha256_of, write_json
from relad.locks import sole_writer
from relad.methods.method import Method, build
from relad.study import paths, plugins, provenance
from relad.study.fingerprints import fingerprint
from relad.study.settings import TrainSettings, plain
from relad.training import checkpoints, validation
from relad.training.average import MovingAverage
from relad.training.logs import DivergedError, Log, TensorBoard, progress_bar
from relad.training.stopping import STOPPED, Stop

BATCH_NORM = torch.nn.modules.batchnorm._BatchNorm
PACKAGES = ("torch", "numpy", "safetensors")


class Trainer:
    """One training: a method, its moving average, its log, and where it stands.

    Parameters
    ----------
    data
        Packed training cohort.
    name
        Id of the method.
    settings
        Methods and section ``training``.
    fold, seed
        Held-out fold and seed of the training.
    """

    def __init__(
        self, data: PackedDataset, name: str, settings: TrainSettings, *, fold: int, seed: int
    ):
        self.data, self.name = data, name
        self.fold, self.seed = fold, seed
        self.entry = settings.methods[name]
        self.options = options = settings.training
        self.device = choose_device(options.device)
        # As it is now: files may be edited while this runs.
        self.code = {
            "training": fingerprint("relad.steps.train"),
            "method": fingerprint(self.entry.class_.partition(":")[0]),
        }

        # Data
        channels = input_channels(data, self.entry.inputs)
        self.pairs, self.validation_pairs = validation.cut(
            data, data.pairs(fold, "train"), options.validation.subjects, fold=fold
        )
        self.scaling = Scaling.of(
            options.scaling, data, self.pairs, channels, mirrored=options.flip_augmentation
        ).to(self.device)
        self.inputs = scalings.input_channels(options.scaling, len(channels))
        everyone = self.pairs + self.validation_pairs
        keep = {
            "always": self.device.type == "cuda",
            "never": False,
            "auto": fits_on(self.device, data, everyone, len(channels)),
        }[options.device_cache]
        self.volumes = Volumes(data, channels, self.device, keep=keep)

        # Method
        torch.manual_seed(int(generator_for("init", fold, seed).initial_seed()))
        self.method: Method = build(
            name, self.entry, inputs=self.inputs, tracers=len(data.tracers)
        ).to(self.device)
        if parallel.size() > 1 and any(isinstance(m, BATCH_NORM) for m in self.method.modules()):
            raise ReladError(
                f"method {name!r} normalises over the volumes of a batch, of which each of "
                f"{parallel.size()} processes has a part",
                hint="train it in one: a study of its own with training.processes 1",
            )
        if options.channels_last:
            self.method.to(memory_format=torch.channels_last_3d)
        self.method.clip_norm = options.clip_norm
        self.average = MovingAverage(self.method.generator, options.ema_decay)
        if options.compile:
            self.method.generator.compile()  # after the copy: the average is used too rarely
        self.base_lr = {
            key: [group["lr"] for group in optimizer.param_groups]
            for key, optimizer in self.method.optimizers.items()
        }

        # Batches
        size = options.batch_size
        alone = self.method.single_pass
        if not alone and size % parallel.size():
            raise ReladError(
                f"training.batch_size {size} cannot be shared by {parallel.size()} processes",
                hint="it counts the volumes of all processes together; give a multiple",
            )
        self.batches = (
            PairsInTurn(self.pairs, size)
            if alone
            else BatchSampler(self.pairs, size, fold=fold, seed=seed)
        )
        self.loader = Loader(
            self.volumes,
            self.scaling,
            self.batches,
            flip=options.flip_augmentation,
            shared=not alone,
        )
        updates = self.entry.updates or options.updates
        self.total = -(-len(self.pairs) // size) if alone else updates

        # Where it stands
        self.done = 0
        #: Wall-clock seconds of updates, of the share of them spent waiting for batches, and of
        #: validations.
        self.seconds = {"updates": 0.0, "loading": 0.0, "validation": 0.0}
        self.log = Log(name, self.total)
        self.best: dict[str, Any] | None = None

    # --- one update --------------------------------------------------------------------------

    def step(self) -> dict[str, Tensor]:
        """Do the next update; before the first, let the method see all pairs."""
        if self.done == 0:
            parts = in_batches(self.pairs, self.options.batch_size)
            self.method.prepare(self.volumes.batch(list(part), self.scaling) for part in parts)
        progress = self.done / self.total
        for key, optimizer in self.method.optimizers.items():
            for group, lr in zip(optimizer.param_groups, self.base_lr[key], strict=True):
                group["lr"] = lr * self.method.lr_factor(progress, key)
        started = time.perf_counter()
        batch = self.loader(self.done, last=self.done + 1 == self.total)
        self.seconds["loading"] += time.perf_counter() - started
        random = generator_for("update", self.fold, self.seed, self.done, device=self.device)
        # For layers that draw from the global generator, such as dropout.
        torch.manual_seed(random.initial_seed() + parallel.rank())
        with autocast(self.device, self.options.precision):
            losses = self.method.update(batch, progress=progress, random=random)
        self.done += 1
        self.average.update(self.method.generator, self.done)
        return losses

    def advance(self) -> dict[str, Any] | None:
        """Do the next update, time it, validate where that is due; return the log's new row."""
        started = time.perf_counter()
        losses = self.step()
        self.log.add(self.done, losses)
        self.seconds["updates"] += time.perf_counter() - started
        return self.log.row(self.done, self.seconds["updates"], self.validate())

    # --- validation ----------------------------------------------------------------------------

    def validate(self) -> float | None:
        """PSNR in the brain of the validation subjects, where one is due; keeps the best weights.

        The averaged weights are judged, as it is they that synthesise.
        """
        wanted = self.options.validation
        # What passes over the data once is not learnt before its end.
        due = self.done == self.total
        due |= self.done % wanted.every == 0 and not self.method.single_pass
        if not self.validation_pairs or not due:
            return None
        started = time.perf_counter()
        sampling = validation.sampling_of(self.method, self.entry.validated_by)
        synthesize = validation.with_generator(self.method, self.average.network, sampling)
        with autocast(self.device, self.options.precision):
            psnr = validation.mean_psnr(
                synthesize,
                self.volumes,
                self.scaling,
                self.validation_pairs,
                -(-self.options.batch_size // parallel.size()),  # it counts those of all processes
            )
        if self.best is None or psnr > self.best["psnr"]:
            weights = checkpoints.copied(self.average.network)
            self.best = {"psnr": psnr, "update": self.done, "weights": weights}
        self.seconds["validation"] += time.perf_counter() - started
        return psnr

    # --- checkpoints ---------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        return checkpoints.fingerprint(self.used, self.data, self.fold, self.seed, self.code)

    @property
    def used(self) -> dict[str, Any]:
        """The settings of this training as plain data."""
        return {"training": plain(self.options), "methods": {self.name: plain(self.entry)}}

    def save_checkpoint(self, path: Path) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "done": self.done,
            "seconds": self.seconds,
            "log": self.log.state(),
            "best": self.best,
            "method": self.method.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizers": {k: o.state_dict() for k, o in self.method.optimizers.items()},
        }
        if parallel.rank() == 0:
            checkpoints.save(path, state)
            self.log.write(path.with_name(paths.TRAINING_LOG))

    def load_checkpoint(self, path: Path) -> bool:
        """Continue from a checkpoint of this very training; say so and start anew if it is not."""
        state = checkpoints.load(path, self.fingerprint, self.device)
        if state is None:
            return False
        self.method.load_state_dict(state["method"])
        self.average.network.load_state_dict(state["average"])
        for key, optimizer in self.method.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
        self.done, self.seconds, self.best = state["done"], state["seconds"], state["best"]
        self.log.load(state["log"])
        return True

    # --- the loop ------------------------------------------------------------------------------

    def run(self, out: Path) -> int:
        """Train to the end and write the model; return the exit status."""
        with sole_writer(out) if parallel.rank() == 0 else nullcontext():
            parallel.any_of(False)  # nobody reads what another training may yet write
            return self._run(out)

    def _run(self, out: Path) -> int:
        checkpoint = out / "checkpoint.pt"
        if self.load_checkpoint(checkpoint) and parallel.rank() == 0:
            print(f"{self.name}: continues at update {self.done} of {self.total}", file=sys.stderr)
        board = TensorBoard(out / "tensorboard", wanted=self.options.tensorboard, update=self.done)
        bar = progress_bar(self.name, done=self.done, total=self.total)
        with Stop().listening() as stop:  # to the end: a second signal interrupts no writing
            with bar:
                while self.done < self.total and not parallel.any_of(stop.asked):
                    board.add(self.advance())
                    bar.update()
                    if self.done % self.options.checkpoint_every == 0:
                        self.save_checkpoint(checkpoint)
            board.close()
            if self.done < self.total:
                self.save_checkpoint(checkpoint)
                if parallel.rank() == 0:
                    print(f"{self.name}: stopped at update {self.done}; run again", file=sys.stderr)
            else:
                self.require_finite()
                if parallel.rank() == 0:
                    self.write(out)
                    checkpoint.unlink(missing_ok=True)
            # The first process that ends is taken to have failed, and the others are killed.
            parallel.any_of(False)
        return STOPPED if self.done < self.total else 0

    def require_finite(self) -> None:
        """Refuse a model without any weights that a validation could judge; on all processes alike.

        Raises
        ------
        DivergedError
            Where images were not finite at every validation.
        """
        if self.best and not math.isfinite(self.best["psnr"]):
            raise DivergedError(
                f"method {self.name!r}: at no validation were all its images finite",
                hint="lower its learning rate in config/methods.yaml",
            )

    def write(self, out: Path) -> None:
        """Write the model: the best weights where there were validations, else the last."""
        self.log.write(out / paths.TRAINING_LOG)
        weights = self.best["weights"] if self.best else self.average.network.state_dict()
        checkpoints.save_model(out / paths.WEIGHTS, weights, self.scaling)
        told = self.record() | {"weights_sha256": sha256_of(out / paths.WEIGHTS)}
        write_json(out / paths.TRAINING_RECORD, told)

    def record(self) -> dict[str, Any]:
        """What ``train.json`` says."""
        seconds, best = self.seconds, self.best
        chosen = None
        if best:
            chosen = {
                "update": best["update"],
                "psnr": round(best["psnr"], 4),
                "pairs": len(self.validation_pairs),
            }
        of_parts = {
            "train": self.pairs,
            "validation": self.validation_pairs,
            "test": self.data.pairs(self.fold, "test"),
        }
        return {
            "method": self.name,
            "fold": self.fold,
            "seed": self.seed,
            "cohort": self.data.cohort,
            "kind": self.data.kind,
            "data": self.data.fingerprint,
            "subjects": {part: self.data.names(pairs) for part, pairs in of_parts.items()},
            "mri_sha256": overlap.mri_of(
                self.data, {n for pairs in of_parts.values() for n in self.data.names(pairs)}
            ),
            "code": self.code,
            "single_pass": self.method.single_pass,
            "reads_mri": self.method.reads_mri,
            "entry": plain(self.entry),
            "precision": self.options.precision,
            "inputs": self.inputs,
            "tracers": self.data.tracers,
            "trained_tracers": sorted({self.data.tracers[k] for _, k in self.pairs}),
            # What whoever applies the model must do as the study did, and whom it does not know.
            "preprocessing": self.data.preprocessing,
            "seen": seen.of_people(self.data, (i for i, _ in self.pairs)),
            "counts": {
                "parameters_generator": sum(p.numel() for p in self.method.generator.parameters()),
                "parameters_total": sum(p.numel() for p in self.method.parameters()),
                "updates": self.total,
                "batch_size": self.options.batch_size,
                "pairs": len(self.pairs),
            },
            "validation": chosen,
            "measured": {
                "seconds": round(seconds["updates"], 2),
                "seconds_validation": round(seconds["validation"], 2),
                "loader_share": round(seconds["loading"] / max(seconds["updates"], 1e-9), 4),
                "peak_memory_mb": round(peak_memory_mb(self.device), 1),
                "load_per_core": load_per_core(),
                "device": device_name(self.device),
                "processes": parallel.size(),
                "threads": torch.get_num_threads(),
            },
            "provenance": provenance.describe(
                "train", self.used, *PACKAGES, *plugins.distributions(self.entry.class_)
            ),
        }
