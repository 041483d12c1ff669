"""Whether a folder from a bundle holds a model that may be loaded here.

What is loaded afterwards trusts a model folder: its ``train.json`` names the class that is imported
and built, and the weights that are read. So all of that is looked at here first: names and numbers
within bounds, weights as safetensors alone, the class one of a method of this project or of an
installed package, and no larger than the weights that are there for it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from math import prod
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from relad import __version__
from relad.bundle.form import PARTS
from relad.bundle.text import parsed, shown
from relad.compute.devices import PRECISIONS
from relad.errors import ReladError
from relad.methods.method import MOVED, class_of
from relad.methods.synthesis import load_model
from relad.status import Kind, Modality
from relad.study import plugins
from relad.study.fingerprints import file_of
from relad.study.paths import REPOSITORY, TRAINING_RECORD, WEIGHTS
from relad.study.settings import BRAIN_EXTRACTIONS, TrainedMethod, typed

#: Modules whose classes are this project's methods.
OWN = ("relad.methods", "baselines")
#: Smallest edge of a voxel that a bundle's settings may ask for.
_FINEST_MM = 0.25
#: Most tensors, and bytes of their description, in a file of weights.
_TENSORS, _HEADER = 20_000, 2**22
#: Elements that a method may make in all: so many times those of its weights (other networks that
#: only training needs), and so many more.
_TIMES, _MORE = 10, 10**8
#: Calls of PyTorch in which a method is built; hundreds of layers take some thousands.
_CALLS = 10**6

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def check(folder: Path, path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Check the files of a bundle that was unpacked into a folder.

    Parameters
    ----------
    folder
        What :meth:`relad.bundle.archive.Bundle.unpack` wrote.
    path
        Of the bundle, for messages.
    manifest
        Of the bundle.

    Returns
    -------
    ``train.json``.

    Raises
    ------
    ReladError
        Where a file is not what it must be, or the method is none that there is here.
    """
    told = {
        name: parsed((folder / name).read_bytes(), name, path)
        for name in PARTS
        if name.endswith(".json") and (folder / name).exists()
    }
    info = checked_record(told[TRAINING_RECORD], path)
    if manifest["kind"] != info["kind"]:
        raise ReladError(
            f"says {shown(manifest['kind'])} data on its face, but {info['kind']} in "
            f"{TRAINING_RECORD}",
            file=path,
        )
    shapes = weights(folder / WEIGHTS, path)
    _check_class(info, path)
    try:
        _check_fit(folder, info, shapes)
    except ReladError as error:
        by = shown(manifest["relad"])
        other = f" (written by relad {by})" if by != __version__ else ""
        raise ReladError(
            f"cannot be used by this relad, {__version__}{other}: {shown(error.what, 200)}",
            file=path,
            hint="see CHANGELOG.md; the relad that wrote it can use it",
        ) from None
    return info


# --- train.json -------------------------------------------------------------------------------


def checked_record(info: Any, path: Path) -> dict[str, Any]:
    """``train.json`` itself, where what is read of it is of the right type and within bounds.

    Raises
    ------
    ReladError
        Naming the key that is not.
    """

    def require(good: bool, key: str, what: str) -> None:
        if not good:
            raise ReladError(f"{TRAINING_RECORD}: {key} is not {what}", file=path)

    require(isinstance(info, dict), "it", "a mapping")
    entry = info.get("entry")
    require(isinstance(entry, dict), "entry", "a mapping")
    require(_is(_ID, info.get("method")), "method", "a method's id")
    require(_is(_LABEL, info.get("cohort")), "cohort", "a cohort's name")
    require(info.get("kind") in list(Kind), "kind", f"one of {', '.join(Kind)}")
    for key in ("fold", "seed"):
        require(_count(info.get(key)), key, "a whole number from 0 on")
    require(_is(_CLASS, entry.get("class")), "entry.class", "module:Class")
    require(isinstance(entry.get("params"), dict), "entry.params", "a mapping")
    updates = entry.get("updates")
    require(updates is None or _count(updates), "entry.updates", "a number of updates")
    modalities = entry.get("inputs")
    good = _names(modalities, _LABEL) and set(modalities) <= set(Modality)
    require(good, "entry.inputs", f"some of {', '.join(Modality)}")
    channels = info.get("inputs")
    good = type(channels) is int and channels in (len(modalities), 2 * len(modalities))
    require(good, "inputs", "the number of input channels")
    tracers = info.get("tracers")
    require(_names(tracers, _LABEL), "tracers", "a list of tracers, each once")
    trained = info.get("trained_tracers", tracers)
    good = _names(trained, _LABEL) and set(trained) <= set(tracers)
    require(good, "trained_tracers", "some of the tracers")
    require(info.get("precision", "auto") in list(PRECISIONS), "precision", "known")
    counts, source = info.get("counts"), info.get("provenance")
    good = isinstance(counts, dict) and (counts.get("updates") is None or _count(counts["updates"]))
    require(good, "counts.updates", "a number of updates")
    good = isinstance(source, dict) and all(
        isinstance(source.get(key), dict) for key in ("settings", "versions")
    )
    require(good, "provenance", "settings and versions")
    _check_preprocessing(info.get("preprocessing"), require)
    require(_is_seen(info.get("seen")), "seen", "ranges of the training people")
    return info


def _check_preprocessing(settings: Any, require: Callable[[bool, str, str], None]) -> None:
    """Refuse settings that would run a command of a stranger's, or ask for any amount of memory.

    Whoever applies the model preprocesses a person's scans by them. Models of older versions have
    none.
    """
    if settings is None:
        return
    parts = [
        settings.get(k) if isinstance(settings, dict) else None for k in ("registration", "grid")
    ]
    require(all(isinstance(part, dict) for part in parts), "preprocessing", "settings of `relad`")
    registration, grid = parts
    require(
        registration.get("brain_extraction") in BRAIN_EXTRACTIONS,
        "preprocessing.registration.brain_extraction",
        f"one of {', '.join(BRAIN_EXTRACTIONS)}: a bundle may bring no command",
    )
    threads = registration.get("threads")
    good = type(threads) is int and 1 <= threads <= 1024
    require(good, "preprocessing.registration.threads", "a number of threads")
    for part, key in ((registration, "working_voxel_mm"), (grid, "voxel_mm")):
        edge = part.get(key)
        good = type(edge) in (int, float) and _FINEST_MM <= edge <= 100
        require(good, f"preprocessing: {key}", f"a voxel's edge in mm, from {_FINEST_MM:g} on")
    shape = grid.get("shape")
    good = isinstance(shape, list) and len(shape) == 3
    good = good and all(type(n) is int and 8 <= n <= 1024 for n in shape)
    require(good, "preprocessing.grid.shape", "three numbers of voxels, of 8 to 1024")


def _is_seen(seen: Any) -> bool:
    """Whether pages and cards may show this of the training people; older models have none."""
    if seen is None:
        return True
    if not (isinstance(seen, dict) and _count(seen.get("people"))):
        return False
    scanners, measures = seen.get("scanners"), seen.get("measures")
    named = isinstance(scanners, list) and all(
        isinstance(name, str) and name.isprintable() and len(name) <= 200 for name in scanners
    )
    return (
        named
        and isinstance(measures, dict)
        and all(re.fullmatch(r"\w{1,64}", name, re.ASCII) for name in measures)
        and all(isinstance(of, dict) for of in measures.values())
        and all(type(n) in (int, float) for of in measures.values() for n in of.values())
    )


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _names(value: Any, pattern: re.Pattern[str]) -> bool:
    """Whether a value is a list of one to 32 different names."""
    fits = isinstance(value, list) and 0 < len(value) <= 32
    return fits and all(_is(pattern, name) for name in value) and len(set(value)) == len(value)


# --- weights ------------------------------------------------------------------------------------


def weights(file: Path, path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a file of weights by name; nothing of it but its header is read.

    Raises
    ------
    ReladError
        Where it is no safetensors, or holds what is no part of a model.
    """
    with file.open("rb") as binary:
        start = binary.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= _HEADER or 8 + length > file.stat().st_size:
            raise ReladError(f"{WEIGHTS} is no safetensors file: its header is missing", file=path)
        parsed(binary.read(length), f"header of {WEIGHTS}", path)
    try:
        with safe_open(file, framework="np") as tensors:
            names = list(tensors.keys())
            if len(names) > _TENSORS:
                raise ReladError(f"{WEIGHTS} has {len(names)} tensors, at most {_TENSORS}")
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise ReladError(f"{WEIGHTS} is no safetensors file ({shown(error)})", file=path) from None
    except ReladError as error:
        raise ReladError(error.what, file=path) from None
    odd = [name for name in shapes if not name.startswith(("generator.", "scaling."))]
    if odd:
        raise ReladError(f"{WEIGHTS} holds {shown(odd[0])}, which is no part of a model", file=path)
    return shapes


# --- the method ---------------------------------------------------------------------------------


def _check_class(info: Mapping[str, Any], path: Path) -> None:
    """Refuse every class but those of this project's methods and of installed packages' ones.

    Nothing is imported before it is known to be one of these.
    """
    class_ = info["entry"]["class"]
    module = class_.partition(":")[0]
    module = MOVED.get(module, module)
    if module.startswith(tuple(f"{own}." for own in OWN)):
        if file_of(module, REPOSITORY) is None:
            raise ReladError(
                f"its method is {shown(class_)}, which relad {__version__} does not have",
                file=path,
                hint="install the relad that wrote it, or a later one",
            )
    elif not any(point.value == class_ for point in entry_points(group=plugins.GROUP)):
        versions = info["provenance"]["versions"].items()
        brought = sorted(f"{package} {version}" for package, version in versions)
        raise ReladError(
            f"its method is {shown(class_)}, which no installed package brings as a method",
            file=path,
            hint="install the package that does, if you trust it; it was trained with "
            + shown(", ".join(brought), 200),
        )
    try:
        class_of(info["method"], typed(TrainedMethod, info["entry"]))
    except ReladError as error:
        raise ReladError(shown(error.what, 200), file=path) from None
    except ImportError as error:
        raise ReladError(
            f"its method's module {module} needs what is not installed here ({shown(error)})",
            file=path,
        ) from None


def _check_fit(
    folder: Path, info: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse weights that are not the method's, and a method far larger than its weights.

    Raises
    ------
    ReladError
        Saying what does not fit.
    """
    modalities, tracers = len(info["entry"]["inputs"]), len(info["tracers"])
    for name, fitting in (("pet", [(tracers,)]), ("mri", [(0,), (modalities,)])):
        if (found := shapes.get(f"scaling.{name}_scale")) not in fitting:
            raise ReladError(f"{name}_scale of the data scaling has the shape {found}")
    try:
        with _Budget(_TIMES * sum(map(prod, shapes.values())) + _MORE), catch_warnings():
            simplefilter("ignore")  # of layers without channels
            load_model(folder, torch.device("cpu"))
    except ReladError:
        raise
    except Exception as error:  # whatever a constructor makes of parameters that do not suit it
        raise ReladError(
            f"method {info['method']!r} cannot be built ({type(error).__name__}: {error})"
        ) from None


class _Budget(TorchFunctionMode):
    """Lets PyTorch make so many elements and no more, whatever the parameters ask for."""

    def __init__(self, elements: int):
        super().__init__()
        self.elements, self.calls = elements, _CALLS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        size = kwargs.get("size", args[0] if args else ())
        size = size if isinstance(size, list | tuple) else args  # zeros((2, 3)) or zeros(2, 3)
        lengths = [abs(n) for n in size if type(n) is int]
        self.elements -= max(prod(lengths), *lengths) if lengths else 0  # arange(0, 1000) too
        self.calls -= 1
        if self.elements < 0 or self.calls < 0:
            raise ReladError("its parameters ask for far more than its weights hold")
        return func(*args, **kwargs)
