"""Checkpoints and the finished model: files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from relad.data.dataset import PackedDataset
from relad.errors import refuse_machine_failure
from relad.fileio import whole_file


def fingerprint(settings: Mapping[str, Any], data: PackedDataset, *key: object) -> str:
    """What a checkpoint must agree with to be continued: settings, data, fold, seed, code."""
    text = json.dumps([settings, data.info, data.subjects, key], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: Path, state: Mapping[str, Any]) -> None:
    with whole_file(path) as temporary:
        torch.save(dict(state), temporary)


def load(path: Path, expected: str, device: torch.device) -> dict[str, Any] | None:
    """State of the training with this fingerprint; where there is none, say why and give None."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        fits = state["fingerprint"] == expected
    except Exception as error:  # torch.load raises many types on a damaged file
        refuse_machine_failure(error, path)  # it may be whole, and is not to be trained over
        print(f"{path}: not readable ({error}); training starts anew", file=sys.stderr)
        return None
    if not fits:
        print(f"{path}: of other settings, data or code; training starts anew", file=sys.stderr)
        return None
    return state


def copied(network: nn.Module) -> dict[str, Tensor]:
    """Copy of a network's state in CPU memory."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def save_model(path: Path, generator: Mapping[str, Tensor], scaling: nn.Module) -> None:
    """Write what synthesis needs: the generator's weights and the data scaling."""
    parts = {"generator": generator, "scaling": scaling.state_dict()}
    weights = {
        f"{part}.{key}": value.contiguous().cpu()
        for part, state in parts.items()
        for key, value in state.items()
    }
    with whole_file(path) as temporary:
        save_file(weights, temporary)
