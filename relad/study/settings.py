"""What of the configuration each step reads, as types: one class per step, and nothing beside it.

A field of a step's class is a section of the resolved configuration (:func:`relad.study.config.
resolve`), and a field of a section's class is one of its keys; what a class does not name, its step
does not see and is not run again for. Keys, units and defaults are described in
workflow/schemas/config.schema.yaml alone.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from relad.errors import ReladError

T = TypeVar("T")
Range = tuple[float, float]

# --- sections and entries ---------------------------------------------------------------------


@dataclass(frozen=True)
class Phantom:
    """Made-up people, ``subjects`` of them, or real heads in a folder; see the source phantom."""

    subjects: int | None
    heads: str | None
    site: int | None
    scanner: str


@dataclass(frozen=True)
class Psf:
    known_fwhm_mm: float
    target_fwhm_mm: float


@dataclass(frozen=True)
class NamedCohort:
    """A cohort of which a step reads the name alone."""


@dataclass(frozen=True)
class SimulatedCohort:
    """A cohort as it is simulated."""

    source: str
    phantom: Phantom | None


@dataclass(frozen=True)
class NormalizedCohort:
    psf: dict[str, Psf]


@dataclass(frozen=True)
class ComparedCohort:
    """A cohort as it is cut into folds, and as tables and figures tell it from others."""

    role: str


@dataclass(frozen=True)
class TestedCohort:
    """What becomes of people of a cohort whom a model was trained with."""

    known_people: str


@dataclass(frozen=True)
class Tracer:
    ligand: str
    aliases: tuple[str, ...]
    frames_min: Range
    reference_region: Any  # a name, {labels, table, names}, or {segmentation}
    reference_erosion_mm: float
    suvr_window: Range


@dataclass(frozen=True)
class NamedTracer:
    """A tracer as tables and figures name it."""

    ligand: str
    suvr_window: Range


@dataclass(frozen=True)
class Positivity:
    """Cut at which real PET counts as positive: ``suvr`` or more in ``region``."""

    region: str
    suvr: float
    source: str


@dataclass(frozen=True)
class ComparedTracer(NamedTracer):
    """A tracer as results show it: regions for reading, and when a person counts as positive."""

    regions: tuple[str, ...] | None
    positivity: Positivity | None


@dataclass(frozen=True)
class IngestOverride:
    """What a person put right of a series or of a subject's PET; one of the two is None."""

    key: str
    value: Any  # text, or the number that YAML makes of 13:10:00
    why: str
    who: str | None
    series: str | None
    subject: str | None
    cohort: str | None


@dataclass(frozen=True)
class Ingest:
    series: dict[str, Any]
    max_gap_days: int
    overrides: tuple[IngestOverride, ...]


#: Words of ``registration.brain_extraction`` that are no command.
BRAIN_EXTRACTIONS = ("auto", "deepbet", "derivatives", "template")


@dataclass(frozen=True)
class Registration:
    working_voxel_mm: float
    to_mni: str
    brain_extraction: str
    motion_correction: bool
    threads: int


@dataclass(frozen=True)
class OwnLabels:
    """Section ``segmentation``: where each person's own labels are found."""

    labels: str | None
    table: str | None


@dataclass(frozen=True)
class OwnRegionNames:
    """Section ``segmentation``: regions of the evaluation, by name."""

    regions: dict[str, Any]


@dataclass(frozen=True)
class OwnRegions(OwnRegionNames):
    """Section ``segmentation``: what is made of each person's own labels."""

    cerebellum: tuple[str, ...]
    cerebellar_grey: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    voxel_mm: float
    shape: tuple[int, int, int]
    deform: bool


@dataclass(frozen=True)
class VoxelSize:
    """Section ``grid``, as evaluation and captions tell it."""

    voxel_mm: float


@dataclass(frozen=True)
class Quality:
    """Section ``qc``: limits, and what happens to a scan that misses one."""

    action: str
    min_registration_correlation: float
    min_brain_overlap_dice: float
    brain_volume_ml: Range
    min_head_margin: float
    min_pose_margin: float
    min_coverage: float
    min_flair_correlation_ratio: float
    min_flair_margin: float
    max_pet_detail: float
    min_reference_coverage: float
    min_reference_in_cerebellum: float
    min_reference_fit: float
    max_reference_variation: float
    max_motion_mm: float


@dataclass(frozen=True)
class Override:
    """What a person decided of one subject; ``decision`` is ``keep`` or ``drop``."""

    cohort: str
    subject: str
    decision: str
    who: str
    why: str


@dataclass(frozen=True)
class ReviewedQuality(Quality):
    """Limits, and what a person decided beside them."""

    overrides: tuple[Override, ...]


@dataclass(frozen=True)
class Folds:
    count: int


@dataclass(frozen=True)
class Validation:
    subjects: int
    every: int


@dataclass(frozen=True)
class ValidationSize:
    subjects: int


@dataclass(frozen=True)
class Training:
    updates: int
    batch_size: int
    ema_decay: float
    checkpoint_every: int
    processes: int
    threads: int
    device: str
    scaling: str
    flip_augmentation: bool
    precision: str
    clip_norm: float | None
    validation: Validation
    device_cache: str
    compile: bool
    channels_last: bool
    tensorboard: bool


@dataclass(frozen=True)
class TrainingSize:
    validation: ValidationSize


@dataclass(frozen=True)
class Sampling:
    """Section ``sampling``, see :class:`relad.study.sampling.Sampling`."""

    sampler: str
    steps: int
    samples: int
    temperature: float
    batch_size: int
    threads: int


@dataclass(frozen=True)
class Evaluation:
    """How results are decided; ``margins`` are by metric, in its unit."""

    interval: float
    power: float
    margins: dict[str, float]


@dataclass(frozen=True)
class TrainedMethod:
    """A method as it is built and trained; ``updates`` is None where the study's hold.

    ``validated_by`` is the name of a :class:`relad.study.sampling.Sampling`, or None.
    """

    class_: str
    inputs: tuple[str, ...]
    params: dict[str, Any]
    updates: int | None
    validated_by: str | None = None


@dataclass(frozen=True)
class Tuning:
    """Effort of every search; ``updates`` is None where a trial is as long as the training."""

    trials: int
    updates: int | None
    sampler: str
    seed: int
    space: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class TunedMethod:
    """A method as its search is listed; ``ablates`` is None or the id of its base."""

    ablates: str | None


@dataclass(frozen=True)
class SampledMethod:
    """A method as it is sampled; ``trained_as`` is the entry of which it samples the models."""

    sampling: dict[str, Any]
    trained_as: str


@dataclass(frozen=True)
class ComparedMethod:
    """A method as tables and figures show it; ``ablates`` is None or the id of its base."""

    label: str
    family: str
    groups: tuple[str, ...]
    ablates: str | None
    updates: int | None
    trained_as: str


# --- steps ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PhantomSettings:
    seed: int
    tracers: dict[str, Tracer]
    cohorts: dict[str, SimulatedCohort]


@dataclass(frozen=True)
class IngestSettings:
    tracers: dict[str, Tracer]
    cohorts: dict[str, NamedCohort]
    ingest: Ingest


@dataclass(frozen=True)
class EnrollSettings:
    tracers: dict[str, Tracer]
    cohorts: dict[str, ComparedCohort]
    folds: Folds
    training: TrainingSize


@dataclass(frozen=True)
class RegisterSettings:
    seed: int
    tracers: dict[str, Tracer]
    registration: Registration
    segmentation: OwnLabels


@dataclass(frozen=True)
class NormalizeSettings:
    tracers: dict[str, Tracer]
    segmentation: OwnRegions
    grid: Grid
    cohorts: dict[str, NormalizedCohort]


@dataclass(frozen=True)
class PreprocessSettings:
    """What `register`, `normalize` and `qc` read, of one person whose files are given."""

    seed: int
    tracers: dict[str, Tracer]
    registration: Registration
    segmentation: OwnRegions
    grid: Grid
    qc: Quality


@dataclass(frozen=True)
class QcSettings:
    tracers: dict[str, Tracer]
    cohorts: dict[str, NamedCohort]
    qc: ReviewedQuality


@dataclass(frozen=True)
class PackSettings:
    """Those of the preprocessing go along with the packed data, to whoever applies a model."""

    seed: int
    tracers: dict[str, Tracer]
    registration: Registration
    segmentation: OwnRegions
    grid: Grid
    folds: Folds
    cohorts: dict[str, ComparedCohort]
    qc: Quality


@dataclass(frozen=True)
class TrainSettings:
    """``tuned_on``: fingerprint of the packed data on which parameters were found, if any were."""

    training: Training
    methods: dict[str, TrainedMethod]
    tuned_on: str | None = None


@dataclass(frozen=True)
class SearchSettings:
    training: Training
    tuning: Tuning
    methods: dict[str, TrainedMethod]


@dataclass(frozen=True)
class TuneSettings:
    methods: dict[str, TunedMethod]


@dataclass(frozen=True)
class SynthesizeSettings:
    cohorts: dict[str, TestedCohort]
    sampling: Sampling
    methods: dict[str, SampledMethod]


@dataclass(frozen=True)
class EvaluateSettings:
    tracers: dict[str, NamedTracer]
    grid: VoxelSize


@dataclass(frozen=True)
class ResultSettings:
    """What tables and figures read."""

    cohorts: dict[str, ComparedCohort]
    tracers: dict[str, ComparedTracer]
    segmentation: OwnRegionNames
    grid: VoxelSize
    evaluation: Evaluation
    methods: dict[str, ComparedMethod]


#: Step -> its class. The other steps read no configuration.
OF_STEP: dict[str, type] = {
    "phantom": PhantomSettings,
    "ingest": IngestSettings,
    "enroll": EnrollSettings,
    "register": RegisterSettings,
    "normalize": NormalizeSettings,
    "preprocess": PreprocessSettings,
    "qc": QcSettings,
    "pack": PackSettings,
    "train": TrainSettings,
    "check-method": TrainSettings,
    "search": SearchSettings,
    "tune": TuneSettings,
    "synthesize": SynthesizeSettings,
    "evaluate": EvaluateSettings,
    "ceiling": EvaluateSettings,
    "tables": ResultSettings,
    "figures": ResultSettings,
}


# --- between plain data and types -------------------------------------------------------------


def typed(kind: type[T], data: Any, where: str = "") -> T:
    """Build an object of a class above from plain data; keys that it does not name are left out.

    Parameters
    ----------
    kind
        Class, or the type of one of its fields.
    data
        Mappings, lists and values, as YAML and JSON hold them.
    where
        Place in the configuration, for messages.

    Raises
    ------
    ReladError
        Where a key is missing that cannot be None, or a value is of another type.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    _require_plain(origin or kind, data, where)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        values = {}
        for field in dataclasses.fields(kind):
            key = field.name.rstrip("_")  # `class` is no name in Python
            place = f"{where}.{key}".lstrip(".")
            if key not in data and type(None) not in typing.get_args(hints[field.name]):
                raise ReladError(f"the settings lack {place}", hint="give a study's own file")
            values[field.name] = typed(hints[field.name], data.get(key), place)
        return kind(**values)
    if origin in (types.UnionType, typing.Union):
        return None if data is None else typed(inner[0], data, where)
    if origin is dict and inner[1] is not Any:
        return {key: typed(inner[1], value, f"{where}.{key}") for key, value in data.items()}
    if origin is tuple or origin in _LISTS:
        values = (typed(inner[0], value, where) for value in data)
        return tuple(values) if origin is tuple else list(values)
    return kind(data) if kind in (int, float) else data


#: Types of a field that holds a list.
_LISTS = (list, Sequence)
#: Beyond it a number is none that float64 holds.
_GREATEST = sys.float_info.max
#: Type of a value -> what YAML and JSON hold for it, and that in words.
_PLAIN: dict[Any, tuple[type | tuple[type, ...], str]] = {
    dict: (Mapping, "a section"),
    tuple: ((list, tuple), "a list"),
    **dict.fromkeys(_LISTS, ((list, tuple), "a list")),
    str: (str, "text"),
    bool: (bool, "true or false"),
    int: ((int, float), "a whole number"),
    float: ((int, float), "a number"),
}


def _require_plain(kind: Any, data: Any, where: str) -> None:
    """Refuse a value that a type cannot be made of."""
    types_, said = _PLAIN.get(dict if dataclasses.is_dataclass(kind) else kind, (object, ""))
    fits = isinstance(data, types_)
    if fits and kind in (int, float):
        fits = not isinstance(data, bool) and abs(data) <= _GREATEST
        fits = fits and (kind is float or int(data) == data)
    if not fits:
        raise ReladError(f"{where or 'the settings'} must be {said}, not {_short(data)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain(value: Any) -> Any:
    """Inverse of :func:`typed`: mappings, lists and values, as JSON holds them."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name.rstrip("_"): plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def of_job(step: str, study: Mapping[str, Any], **wildcards: str) -> Any:
    """Settings of one job: of the cohorts and methods, those that its wildcards name.

    A training's methods have the parameters that were found for its fold, see :func:`of_fold`.

    Parameters
    ----------
    step
        One of :data:`OF_STEP`.
    study
        Resolved configuration.
    **wildcards
        Those of the job's rule; ``cohort``, ``method`` and ``fold`` are read.

    Raises
    ------
    ReladError
        Where the study has no such cohort or method.
    """
    part = dict(study)
    for wildcard, section in (("cohort", "cohorts"), ("method", "methods")):
        name = wildcards.get(wildcard)
        if name is None:
            continue
        if name not in study[section]:
            raise ReladError(
                f"{name!r} is not one of the {section}",
                hint=f"known {section}: {', '.join(study[section])}",
            )
        part[section] = {name: study[section][name]}
    if "cohort" in wildcards:
        for section in ("qc", "ingest"):
            own = [o for o in study[section]["overrides"] if o["cohort"] == wildcards["cohort"]]
            part[section] = {**study[section], "overrides": own}
    if "method" in wildcards:
        mine = {m: p for m, p in study["tuning"]["space"].items() if m == wildcards["method"]}
        part["tuning"] = {**study["tuning"], "space": mine}
    if step == "train" and "fold" in wildcards:
        part["methods"] = of_fold(part["methods"], wildcards["fold"])
    return typed(OF_STEP[step], part)


def of_fold(methods: Mapping[str, Any], fold: int | str) -> dict[str, Any]:
    """Entries of resolved methods with the parameters that were found for a fold, if any were.

    Raises
    ------
    ReladError
        Where others were searched, but this fold was not: theirs saw its test subjects.
    """
    found = {}
    for name, entry in methods.items():
        if entry["tuned"] and str(fold) not in entry["tuned"]:
            raise ReladError(
                f"`tuned` has no parameters for fold {fold}, only for {', '.join(entry['tuned'])}",
                hint="search that fold too: those of another fold were chosen on its test subjects",
            )
        found[name] = {**entry, "params": entry["tuned"].get(str(fold), entry["params"])}
    return found
