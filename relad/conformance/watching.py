"""What the checks compare and watch, whatever the method: states, steps, what a process shares."""

from __future__ import annotations

import random as python_random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from relad.compute.devices import PRECISIONS

#: What somebody else's code may raise; sys.exit() would end the checks, and with status 0.
ERRORS = (Exception, SystemExit)

# --- what is compared ---------------------------------------------------------------------------


@torch.no_grad()
def change(a: Tensor, b: Tensor, mask: Tensor) -> float:
    """RMS of b - a over the brain, as a share of the standard deviation of a there."""
    a, b = a[mask].double(), b[mask].double()
    difference = float((b - a).square().mean().sqrt())
    return difference if difference == 0 else difference / float(a.std())


def same(a: Any, b: Any) -> bool:
    """Whether two states (tensors in dicts and lists) are equal to the bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}


#: Attributes that every module has, which hold parameters, buffers, parts and hooks.
_OF_MODULES = {*vars(nn.Module())}


def attributes_of(method: nn.Module) -> dict[str, Any]:
    """What a method and its parts hold beside their state.

    Numbers, words, tensors, and collections of these; anything else, such as a function, is None.
    """
    return {
        f"{name}.{key}".lstrip("."): _plain(value)
        for name, module in method.named_modules()
        for key, value in vars(module).items()
        if key not in _OF_MODULES
    }


def _plain(value: Any, depth: int = 0) -> Any:
    """Tensors, numbers and words of an attribute, in copies; ``depth`` ends what holds itself."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        value = torch.from_numpy(value)
    if isinstance(value, Tensor):
        return value.detach().nan_to_num().clone() if value.is_floating_point() else value.clone()
    if isinstance(value, bool | int | float | str):
        return value if value == value else "nan"  # which is not even itself
    if depth < 4 and isinstance(value, list | tuple | deque):
        return [_plain(part, depth + 1) for part in value]
    if depth < 4 and isinstance(value, Mapping):
        return {str(key): _plain(part, depth + 1) for key, part in value.items()}
    owned = type(value).__module__.partition(".")[0] not in ("torch", "builtins", "numpy")
    if depth < 4 and owned and not isinstance(value, nn.Module) and hasattr(value, "__dict__"):
        return _plain(vars(value), depth + 1)
    return None


def modes_of(method: nn.Module) -> dict[str, bool]:
    """Part of a method -> whether it is in the mode of training."""
    return {name: module.training for name, module in method.named_modules()}


# --- what is watched ----------------------------------------------------------------------------


def weights_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def with_gradient(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [weight for weight in weights_of(optimizer) if weight.grad is not None]


@contextmanager
def before_steps(look: Any) -> Iterator[None]:
    """Call ``look(optimizer)`` before every step of every optimiser."""
    handle = register_optimizer_step_pre_hook(lambda optimizer, *_: look(optimizer))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def outermost_calls(module: nn.Module, look: Callable[[nn.Module, Any], None]) -> Iterator[None]:
    """Call ``look(part, output)`` for a network or, where that is not called, its called parts.

    What such a part calls itself is not looked at.
    """
    depth = 0

    def enter(*_: Any) -> None:
        nonlocal depth
        depth += 1

    def leave(part: nn.Module, _: Any, output: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            look(part, output)

    handles = [
        handle
        for part in module.modules()
        for handle in (part.register_forward_pre_hook(enter), part.register_forward_hook(leave))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def put(place: Any, **values: Any) -> Iterator[None]:
    """Set attributes, and set them back."""
    before = {name: getattr(place, name) for name in values}
    try:
        for name, value in values.items():
            setattr(place, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(place, name, value)


#: What belongs to the whole process -> how it is read, and how it is set.
PROCESS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "whether gradients are computed": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether algorithms are deterministic": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the precision of matrix products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "whether autograd looks for anomalies": (
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
}


@contextmanager
def undisturbed() -> Iterator[list[str]]:
    """Set back what belongs to the process; afterwards the names of what had been changed."""
    before = {name: read() for name, (read, _) in PROCESS.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, (read, write) in PROCESS.items():
            if read() != before[name]:
                changed.append(name)
                write(before[name])


@contextmanager
def sound(precision: str) -> Iterator[None]:
    """Let a precision of ``training`` be computed rightly on small grids: bfloat16 without oneDNN.

    Of a convolution whose volume is two voxels wide its bfloat16 gradient of the weights takes in
    memory that nobody wrote, and is NaN now and then, on processors with AVX-512 and without AMX
    (PyTorch 2.13).
    """
    on_cpu, _ = PRECISIONS[precision]
    with put(torch.backends.mkldnn, enabled=torch.backends.mkldnn.enabled and not on_cpu):
        yield


def global_states() -> dict[str, Any]:
    """The global random states of PyTorch and NumPy; run-time type checkers draw from Python's."""
    name, keys, *rest = np.random.get_state()
    return {
        "PyTorch": torch.random.get_rng_state(),
        "NumPy": (name, keys.tolist(), *rest),
    }


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global random states of PyTorch, NumPy and Python; afterwards they are as before."""
    numpy_state, python_state = np.random.get_state(), python_random.getstate()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)
            python_random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        python_random.setstate(python_state)


def without_mixing(method: nn.Module) -> None:
    """Turn off dropout, which draws from the global state, and statistics over the batch.

    Stochastic depth too, as timm and MONAI have it.
    """
    for module in method.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
        elif isinstance(getattr(module, "drop_prob", None), float):
            module.drop_prob = 0.0
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
            module.eval()
