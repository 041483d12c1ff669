"""What the adversary of each training did, from the trainings' own logs, as a Markdown table.

    python -m benchmarks.adversary results/models/ladder-*/fold-0_seed-0

Columns: median of penalty / D's loss while the adversary is on, in the first and in the second half
of its updates; means over the last quarter of all updates of L_D (log 2 = 0.69 for a D that cannot
tell), of D's accuracy (how often it finds the truth the truer of a pair; 0.5 for one that cannot
tell), of the adversary's share of the gradient norms at x0_hat, of the adversarial loss and of the
denoising loss (eps-MSE under noise prediction); best PSNR of the validation subjects and the update
it was reached at.
"""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import report
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.study.paths import TRAINING_LOG, TRAINING_RECORD


def numbers(rows: list[dict[str, str]], key: str) -> list[float]:
    """Finite values of a column, empty cells left out."""
    values = [float(row[key]) for row in rows if row.get(key)]
    return [value for value in values if math.isfinite(value)]


def line(folder: Path) -> dict[str, Any]:
    """Row of one training's folder."""
    info, rows = read_json(folder / TRAINING_RECORD), read_table(folder / TRAINING_LOG)
    if not numbers(rows, "discriminator"):
        raise ReladError("has no adversary", file=folder)
    on = [row for row in rows if row["discriminator"]]
    last = [row for row in rows if float(row["update"]) > 0.75 * info["counts"]["updates"]]
    row: dict[str, Any] = {"training": info["method"], "updates": info["counts"]["updates"]}
    halves = {"first half": on[: len(on) // 2], "second half": on[len(on) // 2 :]}
    for name, part in halves.items():
        ratios = numbers(part, "penalty_ratio")
        row[f"penalty / L_D, {name}"] = f"{statistics.median(ratios):.2g}" if ratios else ""
    for name, key in (
        ("L_D", "discriminator"),
        ("D's accuracy", "discriminator_accuracy"),
        ("share of gradient", "adversarial_share"),
        ("adversarial", "adversarial"),
        ("denoising", "denoising"),
    ):
        if found := numbers(last, key):  # older logs hold fewer
            row[f"{name}, last quarter"] = f"{statistics.mean(found):.3g}"
    best = max((r for r in rows if r.get("validation_psnr")), key=psnr, default=None)
    if best is not None:
        row["best validation PSNR (dB)"] = f"{psnr(best):.2f}"
        row["at update"] = best["update"]
    return row


def psnr(row: dict[str, str]) -> float:
    return float(row["validation_psnr"])


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("adversary", __doc__)
    parser.add_argument("models", nargs="+", type=Path, help="folders of trained models")
    args = parser.parse_args(argv)
    return report.printed(lambda: report.table([line(folder) for folder in args.models]))


if __name__ == "__main__":
    sys.exit(main())
