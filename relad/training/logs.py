"""What a training says while it runs: CSV, TensorBoard, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from relad.compute import parallel
from relad.errors import ReladError
from relad.fileio import write_table


class DivergedError(ReladError):
    """A loss that is not finite, or images that never are."""


class Log:
    """Mean losses, one row per hundredth of the training and per validation.

    Losses stay on the device until they are needed, so that the CPU does not wait for the GPU after
    every update.

    Attributes
    ----------
    rows : list of dict
        ``update``, ``seconds`` (wall-clock time of the updates alone), losses, ``validation_psnr``
    """

    #: Columns of its own, as which no loss may be called.
    COLUMNS = ("update", "seconds", "validation_psnr")
    #: Updates after which a loss that is not finite is found, at the latest.
    PATIENCE = 20

    def __init__(self, method: str, total: int):
        self.method = method
        self.every = max(1, total // 100)
        self.total = total
        self.rows: list[dict[str, Any]] = []
        self.losses: dict[str, list[float]] = {}  # since the last row
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    def state(self) -> dict[str, Any]:
        self.flush()
        return {"rows": self.rows, "losses": self.losses}

    def load(self, state: Mapping[str, Any]) -> None:
        self.rows, self.losses = state["rows"], state["losses"]

    def add(self, update: int, losses: Mapping[str, Tensor]) -> None:
        """Remember the losses of an update.

        Raises
        ------
        ReladError
            Where one is called as a column of the log's own, which it would overwrite.
        """
        if taken := [key for key in losses if key in self.COLUMNS]:
            raise ReladError(
                f"method {self.method!r}: a loss is called {taken[0]!r}, as a column of the log's "
                "own",
                hint="return it from update by another name",
            )
        self._waiting.append((update, dict(losses)))
        on_cpu = all(value.device.type == "cpu" for value in losses.values())
        if on_cpu or len(self._waiting) == self.PATIENCE:
            self.flush()

    def flush(self) -> None:
        """Fetch the losses from the device and check that they are finite.

        Raises
        ------
        DivergedError
            Naming the loss, the update and the method.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        values = torch.stack([v.float() for _, losses in waiting for v in losses.values()])
        parallel.average_([values])
        numbers = iter(values.tolist())
        for update, losses in waiting:
            for key in losses:
                number = next(numbers)
                if not np.isfinite(number):
                    raise DivergedError(
                        f"method {self.method!r}: loss {key!r} is {number} at update {update}",
                        hint="lower its learning rate in config/methods.yaml, or set "
                        "training.clip_norm",
                    )
                self.losses.setdefault(key, []).append(number)

    def row(self, update: int, seconds: float, psnr: float | None) -> dict[str, Any] | None:
        """Add a row where one is due, and return it."""
        if psnr is None and update % self.every and update != self.total:
            return None
        self.flush()
        row = {"update": update, "seconds": round(seconds, 3)}
        row |= {key: float(np.mean(values)) for key, values in self.losses.items()}
        if psnr is not None:
            row["validation_psnr"] = psnr
        self.rows.append(row)
        self.losses = {}
        return row

    def write(self, file: Path) -> None:
        write_table(file, self.rows, list(dict.fromkeys(k for row in self.rows for k in row)))


class TensorBoard:
    """The log's rows as TensorBoard scalars below a folder; does nothing where it is not wanted."""

    def __init__(self, folder: Path, *, wanted: bool, update: int):
        self.writer = None
        if not wanted or parallel.rank() > 0:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ReladError(
                f"training.tensorboard is on, but TensorBoard is not installed ({error})",
                hint="pip install tensorboard, or set training.tensorboard to false",
            ) from None
        # What a killed run logged after its last checkpoint is logged again: drop it.
        self.writer = SummaryWriter(str(folder), purge_step=update + 1)

    def add(self, row: Mapping[str, Any] | None) -> None:
        if self.writer is None or row is None:
            return
        for key, value in row.items():
            if key not in ("update", "seconds"):
                self.writer.add_scalar(key, value, row["update"])

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def progress_bar(name: str, *, done: int, total: int) -> tqdm:
    """Updates, speed and remaining time: live on a terminal, one line in ten seconds in a file."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=f"train {name}",
        unit="update",
        mininterval=0.5 if terminal else 10,
        file=sys.stderr,
        ascii=not terminal,
        ncols=None if terminal else 90,
        disable=parallel.rank() > 0,
    )
