"""The study's configuration: read, check against its schema, resolve methods and ablations.

Imported by the Snakefile, so it needs only what Snakemake itself installs (PyYAML, jsonschema).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relad.errors import ReladError
from relad.study.paths import REPOSITORY

DEFAULT = REPOSITORY / "config" / "config.yaml"
SCHEMAS = REPOSITORY / "workflow" / "schemas"
#: Ligands whose windows and reference regions are known; a study's own entries go before them.
TRACERS = REPOSITORY / "config" / "tracers.yaml"
MODALITIES = ("T1w", "FLAIR")

#: The sections of the configuration that each step reads, and nothing beside them: a step is run
#: again when one of these changes. ``{method}`` and ``{cohort}`` stand for the job's own entry, of
#: which a step reads the keys of :data:`ENTRY_KEYS` where it is named there.
SECTIONS: dict[str, tuple[str, ...]] = {
    "phantom": ("seed", "tracers", "cohorts.{cohort}"),
    "ingest": ("tracers", "ingest"),
    "register": ("seed", "tracers", "registration"),
    "normalize": ("tracers", "grid", "registration", "qc", "psf.{cohort}"),
    "preprocess": ("seed", "tracers", "grid", "registration", "qc"),
    "qc": ("tracers", "qc"),
    "pack": ("seed", "tracers", "grid", "folds", "cohorts.{cohort}", "qc.action"),
    "train": ("tracers", "training", "methods.{method}"),
    "synthesize": ("tracers", "sampling", "methods.{method}"),
    "evaluate": ("tracers",),
    "tables": ("cohorts", "tracers", "evaluation", "methods"),
    "figures": ("cohorts", "tracers", "evaluation", "methods"),
}

#: Tables and figures that are no group of methods; a group cannot have their names.
RESULTS = (
    *("external", "runtime", "samplers", "panels", "panels_external", "distributions"),
    *("distributions_external", "training_curves"),
)

#: Keys of a method's entry that a step reads; the others only name and group results.
ENTRY_KEYS = {
    "train": ("class", "inputs", "params", "updates"),
    "synthesize": ("class", "inputs", "params", "sampling"),
}


def read_yaml(path: str | Path) -> Any:
    import yaml

    path = Path(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReladError("no such configuration file", file=path) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReladError(f"not valid YAML ({' '.join(str(error).split())})", file=path) from None


def check(data: Any, schema: str, *, file: str | Path) -> None:
    """Check ``data`` against ``workflow/schemas/<schema>.schema.yaml``; the error names the key."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(read_yaml(SCHEMAS / f"{schema}.schema.yaml"))
    error = jsonschema.exceptions.best_match(validator.iter_errors(data))
    if error is None:
        return
    where = ".".join(map(str, error.absolute_path)) or "the top level"
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known))
        raise ReladError(
            f"unknown key {', '.join(map(repr, unknown))} at {where}",
            file=file,
            hint=f"known keys: {', '.join(known)}",
        )
    raise ReladError(f"at {where}: {error.message}", file=file)


def _relative_to_repository(path: str | Path) -> Path:
    """Method and ablation files may be given relative to the working folder or the repository."""
    path = Path(path)
    return path if path.is_absolute() or path.exists() else REPOSITORY / path


def resolve(config: Mapping[str, Any], *, file: str | Path = "configuration") -> dict[str, Any]:
    """Check a raw configuration and put tracers, methods and ablations into it.

    Returns
    -------
    A new dict in which ``methods`` maps every id, ablations included, to
    ``{class, label, family, groups, inputs, params, updates, sampling, ablates}`` (``updates`` is
    None where the study's hold, ``ablates`` None or the base's id), ``tracers`` holds every
    tracer's whole entry, ``psf`` maps cohort -> tracer -> resolutions, and ``qc`` states its
    action.
    """
    config = json.loads(json.dumps(config))  # Snakemake hands over its own dict types
    if isinstance(config.get("methods"), dict):
        return config  # resolved before
    check(config, "config", file=file)
    _resolve_tracers(config, file=file)
    config["qc"].setdefault("action", "exclude")
    methods_file = _relative_to_repository(config["methods"])
    ablations_file = _relative_to_repository(config["ablations"])
    methods = read_yaml(methods_file) or {}
    ablations = read_yaml(ablations_file) or {}
    check(methods, "methods", file=methods_file)
    check(ablations, "ablations", file=ablations_file)

    resolved: dict[str, Any] = {}
    for name, entry in methods.items():
        resolved[name] = {
            "class": entry["class"],
            "label": entry.get("label", name),
            "family": entry.get("family", "other"),
            "groups": entry.get("groups", ["main"]),
            "inputs": entry.get("inputs", list(MODALITIES)),
            "params": entry.get("params") or {},
            "sampling": entry.get("sampling") or {},
            "ablates": None,
        }
    for name, entry in ablations.items():
        if name in methods:
            raise ReladError(f"{name!r} is already a method's id", file=ablations_file)
        if entry["base"] not in resolved:
            raise ReladError(
                f"{name!r} changes {entry['base']!r}, which is neither a method nor an entry above",
                file=ablations_file,
                hint=f"known so far: {', '.join(resolved)}",
            )
        base = resolved[entry["base"]]
        resolved[name] = {
            **base,
            "label": entry.get("label", name),
            "groups": entry.get("groups", ["ablation"]),
            "inputs": entry.get("inputs", base["inputs"]),
            "params": {**base["params"], **(entry.get("params") or {})},
            "sampling": entry.get("sampling", base["sampling"]),
            "ablates": entry["base"],
        }
    config["methods"] = resolved
    _check_groups(resolved, file=methods_file)
    _resolve_updates(config, file=file)
    for name in config.get("sampler_study", {}).get("methods", []):
        if resolved.get(name, {}).get("family") != "diffusion":
            raise ReladError(
                f"sampler_study.methods names {name!r}, which is no method of the family diffusion",
                file=file,
            )
    config["ingest"] = _resolve_ingest(config.get("ingest") or {})
    config.pop("ablations", None)
    for fold in config["folds"]["run"]:
        if not 0 <= fold < config["folds"]["count"]:
            raise ReladError(
                f"folds.run names fold {fold}, but folds.count is {config['folds']['count']}",
                file=file,
            )
    return config


#: What a tracer's entry holds in the end, from the study or from the table of ligands.
TRACER_KEYS = ("frames_min", "reference_region", "reference_erosion_mm", "suvr_window")


def _resolve_tracers(config: dict[str, Any], *, file: str | Path) -> None:
    """Complete the tracers' entries from the table of ligands, and the cohorts' resolutions."""
    table = read_yaml(TRACERS) or {}
    check(table, "tracers", file=TRACERS)
    atlas = config.pop("atlas", None)
    for name, own in config["tracers"].items():
        known = {
            k: v for k, v in table.get(own["ligand"], {}).items() if k not in ("binds", "notes")
        }
        entry = {"ligand": own["ligand"], "aliases": [], **known, **own}
        missing = [key for key in TRACER_KEYS if key not in entry]
        if missing:
            raise ReladError(
                f"tracer {name!r} lacks {', '.join(missing)}, and its ligand {own['ligand']!r} is "
                f"not in {TRACERS.relative_to(REPOSITORY)}",
                file=file,
                hint=f"add them here or an entry there; known ligands: {', '.join(table)}",
            )
        if isinstance(entry["reference_region"], dict):
            entry["reference_region"] = region = {**(atlas or {}), **entry["reference_region"]}
            absent = [key for key in ("labels", "table") if key not in region]
            if absent:
                raise ReladError(
                    f"tracer {name!r}: reference_region has names but no {' and no '.join(absent)}",
                    file=file,
                    hint="name the label image and its table there, or for all tracers under atlas",
                )
        config["tracers"][name] = entry
    config["psf"] = {}
    for cohort, place in config["cohorts"].items():
        own = place.pop("psf", None) or {}
        unknown = sorted(set(own) - set(config["tracers"]))
        if unknown:
            raise ReladError(
                f"cohorts.{cohort}.psf names {', '.join(map(repr, unknown))}, not a tracer of this "
                "study",
                file=file,
                hint=f"tracers: {', '.join(config['tracers'])}",
            )
        config["psf"][cohort] = own
        for tracer, psf in own.items():
            if psf["target_fwhm_mm"] < psf["known_fwhm_mm"]:
                raise ReladError(
                    f"cohorts.{cohort}.psf.{tracer}: a resolution of {psf['known_fwhm_mm']:g} mm "
                    f"cannot be sharpened to {psf['target_fwhm_mm']:g} mm",
                    file=file,
                    hint="the target of harmonisation is the coarsest scanner's resolution",
                )


def group_members(config: Mapping[str, Any], group: str) -> list[str]:
    """Methods of a group (see methods.schema.yaml), in the configuration's order."""
    return [name for name, entry in config["methods"].items() if group in entry["groups"]]


def own_groups(config: Mapping[str, Any]) -> list[str]:
    """Groups beside ``main`` and ``ablation``: each has a table and a figure of its name."""
    named = dict.fromkeys(g for entry in config["methods"].values() for g in entry["groups"])
    return [group for group in named if group not in ("main", "ablation")]


def _check_groups(methods: Mapping[str, Any], *, file: str | Path) -> None:
    taken = [group for group in own_groups({"methods": methods}) if group in RESULTS]
    if taken:
        raise ReladError(
            f"group {taken[0]!r} has the name of another table or figure",
            file=file,
            hint="call it something else",
        )


def _resolve_updates(config: dict[str, Any], *, file: str | Path) -> None:
    """Give every method the length of its training that its groups ask for, or None."""
    of_groups = config["training"].pop("group_updates", None) or {}
    unknown = sorted(set(of_groups) - set(own_groups(config)))
    if unknown:
        raise ReladError(
            f"training.group_updates names {', '.join(map(repr, unknown))}, not a group of methods",
            file=file,
            hint=f"groups with a table of their own: {', '.join(own_groups(config)) or 'none'}",
        )
    for name, entry in config["methods"].items():
        lengths = {group: of_groups.get(group) for group in entry["groups"]}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{g}: {n or 'training.updates'}" for g, n in lengths.items())
            raise ReladError(
                f"{name!r} would be trained for several numbers of updates at once ({told})",
                file=file,
                hint="give the longer comparison an entry of its own, with this one as its base",
            )
        entry["updates"] = lengths[entry["groups"][0]]


def _resolve_ingest(section: Mapping[str, Any]) -> dict[str, Any]:
    """Section ``ingest`` with its defaults and with the series table in place of its file."""
    file = _relative_to_repository(section.get("series", "config/series.yaml"))
    series = read_yaml(file) or {}
    check(series, "series", file=file)
    return {"max_gap_days": section.get("max_gap_days", 180), "series": series}


def default_ingest() -> dict[str, Any]:
    """Resolved section ``ingest`` of a study that does not have one."""
    return _resolve_ingest({})


def load(path: str | Path = DEFAULT) -> dict[str, Any]:
    """Read, check and resolve a configuration file."""
    return resolve(read_yaml(path) or {}, file=path)


def load_settings(source: str | None = None) -> dict[str, Any]:
    """Settings of one step: a literal JSON object (as the workflow passes it) or a YAML file.

    A literal object holds only the sections the step needs (see :data:`SECTIONS`); without a
    source the repository's ``config/config.yaml`` is read.
    """
    if source is not None and source.lstrip().startswith("{"):
        return json.loads(source)
    return load(source or DEFAULT)


def section(config: Mapping[str, Any], step: str, **wildcards: str) -> dict[str, Any]:
    """Part of a resolved configuration that ``step`` reads, in the configuration's own shape."""
    part: dict[str, Any] = {}
    for key in SECTIONS[step]:
        top, _, entry = key.partition(".")
        if entry and "{" not in entry:
            part[top] = {**part.get(top, {}), entry: config[top][entry]}
        elif entry:
            name = entry.format(**wildcards)
            if name not in config[top]:
                raise ReladError(
                    f"{name!r} is not one of the {top}",
                    hint=f"known {top}: {', '.join(config[top])}",
                )
            value = config[top][name]
            if top == "methods" and step in ENTRY_KEYS:
                value = {key: value[key] for key in ENTRY_KEYS[step]}
            part[top] = {name: value}
        else:
            part[top] = config[top]
    return part


def fingerprint(*paths: str | Path) -> str:
    """Hash of the source files below ``paths``; in a rule's ``params`` it reruns on edited code."""
    digest = hashlib.sha256()
    for path in map(Path, paths):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
