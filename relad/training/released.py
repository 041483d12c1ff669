"""Turn the authors' released weights into a model that `relad synthesize` takes.

  python -m relad.training.released checkpoints/epoch99_checkpoint.pt out --tracers tau amyloid tspo

The checkpoint is a generator's of the release (github.com/mxliu, Relativistic-Adversarial-
Diffusion-for-Neuroimage-Synthesis); --tracers names those of the packed cohort, in its order.
The model is `rela-as-released` on the release's own network and needs MONAI. The release scales
every volume to [-1, 1] by its own minimum and maximum and keeps neither: what it synthesises has no
unit, and is written as if [-1, 1] were the tracer's SUVR window.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relad.data.scaling import Scaling
from relad.errors import ReladError
from relad.fileio import sha256_of, whole_folder, write_json
from relad.methods.method import build
from relad.status import Kind, Modality
from relad.study import paths, provenance
from relad.study.settings import TrainedMethod, plain
from relad.training.checkpoints import save_model

#: The release's class of each tracer; the fourth of its embedding never occurs.
CLASSES = {"tspo": 0, "amyloid": 1, "tau": 2}
UNUSED = 3
EMBEDDING = "class_embedding.weight"
ENTRY = TrainedMethod(
    "relad.methods.as_released:ReleasedRelADiffusion",
    (Modality.T1W, Modality.FLAIR),
    {"released_network": True, "prediction": "epsilon", "clip_sample": 1.0},
    None,
)


def read(checkpoint: Path) -> dict[str, Tensor]:
    """State of the release's generator, by its own names.

    Raises
    ------
    ReladError
        Where the file holds something else.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model_state_dict"]
        if EMBEDDING not in state:
            raise KeyError(EMBEDDING)
    except FileNotFoundError:
        raise ReladError("no such checkpoint", file=checkpoint) from None
    except Exception as error:  # torch.load raises many types on a damaged file
        raise ReladError(
            f"holds no generator of the release ({type(error).__name__}: {error})",
            file=checkpoint,
            hint="take checkpoints/epoch99_checkpoint.pt of the release",
        ) from None
    return state


def load(network: torch.nn.Module, state: dict[str, Tensor], tracers: Sequence[str]) -> None:
    """Load a released state into a :class:`ReleasedUNet` for these tracers.

    MONAI renames what its older networks called otherwise; the rows of the tracers' embedding are
    put into this study's order.

    Raises
    ------
    ReladError
        For a tracer that the release has not, or weights that are not all of this network's.
    """
    unknown = sorted(set(tracers) - set(CLASSES))
    if unknown:
        raise ReladError(
            f"the release knows no tracer {', '.join(unknown)}",
            hint=f"it was trained on {', '.join(CLASSES)}",
        )
    rows = [CLASSES[tracer] for tracer in tracers] + [UNUSED]
    left = state | {EMBEDDING: state[EMBEDDING][rows]}
    count = len(left)
    try:
        network.unet.load_old_state_dict(left)  # takes out what it loads
    except (KeyError, RuntimeError) as error:
        raise ReladError(f"are not the released network's weights: {error}") from None
    if left or count != len(network.unet.state_dict()):
        raise ReladError(
            f"are not the released network's weights: {count} tensors, "
            f"{len(network.unet.state_dict())} expected"
        )


def record(checkpoint: Path, tracers: Sequence[str], parameters: int) -> dict[str, Any]:
    """What ``train.json`` says of the model: nothing of its training that is not known."""
    return {
        "method": "rela-as-released",
        "fold": 0,
        "seed": 0,
        "cohort": "release",
        "kind": Kind.REAL,
        "data": None,
        "single_pass": False,
        "entry": plain(ENTRY),
        "precision": "auto",
        "inputs": len(ENTRY.inputs),
        "tracers": list(tracers),
        "trained_tracers": sorted(tracers),
        "counts": {"parameters_generator": parameters, "updates": None},
        "provenance": provenance.describe("released", {"checkpoint": checkpoint.name}, "torch"),
    }


def convert(checkpoint: Path, out: Path, tracers: Sequence[str]) -> None:
    """Write the model folder of a released checkpoint."""
    state = read(checkpoint)
    method = build("rela-as-released", ENTRY, inputs=len(ENTRY.inputs), tracers=len(tracers))
    try:
        load(method.generator, state, tracers)
    except ReladError as error:
        raise ReladError(error.what, file=checkpoint, hint=error.hint) from None
    scaling = Scaling.window(len(tracers))
    parameters = sum(p.numel() for p in method.generator.parameters())
    with whole_folder(out, mark=paths.TRAINING_RECORD) as folder:
        save_model(folder / paths.WEIGHTS, method.generator.state_dict(), scaling)
        told = record(checkpoint, tracers, parameters)
        told["weights_sha256"] = sha256_of(folder / paths.WEIGHTS)
        write_json(folder / paths.TRAINING_RECORD, told)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m relad.training.released",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="the release's checkpoint of its generator")
    parser.add_argument("out", type=Path, help="folder of the model")
    parser.add_argument("--tracers", nargs="+", default=["tau", "amyloid", "tspo"])
    args = parser.parse_args(arguments)
    convert(args.checkpoint, args.out, args.tracers)


if __name__ == "__main__":
    try:
        main()
    except ReladError as error:
        sys.exit(f"error: {error}")
