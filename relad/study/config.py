"""The study's configuration: read, check against its schema, resolve methods and ablations.

Imported by the Snakefile, so it needs only what Snakemake itself installs (PyYAML, jsonschema).
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib.metadata import EntryPoint
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from relad.errors import ReladError
from relad.fileio import read_object, read_table
from relad.study import catalogue, plugins, subjects
from relad.study.paths import REPOSITORY
from relad.study.regions import COMPOSITES, REGIONS
from relad.study.sampling import of_method
from relad.study.settings import of_fold, typed

T = TypeVar("T")

DEFAULT = REPOSITORY / "config" / "config.yaml"
SCHEMAS = REPOSITORY / "workflow" / "schemas"
#: Ligands whose windows and reference regions are known; a study's own entries go before them.
TRACERS = REPOSITORY / "config" / "tracers.yaml"
_WHOLE = (
    "give a study's whole configuration; one that changes single values of config/config.yaml, as "
    "config/long.yaml does, goes to `snakemake --configfile` alone"
)


def read_yaml(path: str | Path) -> Any:
    """Content of a file, see :mod:`relad.study.checked_yaml`.

    Raises
    ------
    ReladError
        Where there is none, it is no YAML, or it would be read as something else.
    """
    import yaml

    from relad.study.checked_yaml import Loader, MisreadError

    path = Path(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except FileNotFoundError:
        raise ReladError("no such configuration file", file=path) from None
    except MisreadError as error:
        where = f"line {error.problem_mark.line + 1}"
        raise ReladError(f"{where}: {error.problem}", file=path, hint=error.note) from None
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ReladError(f"not valid YAML ({' '.join(str(error).split())})", file=path) from None


def check(data: Any, schema: str | Mapping[str, Any], *, file: str | Path) -> None:
    """Check ``data`` against a schema; the error names the key.

    ``schema`` is the name of ``workflow/schemas/<schema>.schema.yaml``, or one of parts, of which
    keys may be missing. ``ascending`` of a schema wants every number above the one before it.
    """
    import jsonschema

    kind = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"ascending": _descents})
    whole = isinstance(schema, str)
    validator = kind(read_schema(schema) if whole else schema)
    errors = validator.iter_errors(data)
    error = jsonschema.exceptions.best_match(
        e for e in errors if whole or e.validator != "required"
    )
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
    partial = schema == "config" and error.validator == "required" and not error.absolute_path
    raise ReladError(f"at {where}: {error.message}", file=file, hint=_WHOLE if partial else None)


def _descents(_: Any, wanted: bool, data: Any, __: Any) -> Iterator[Any]:
    """Errors of the keyword ``ascending``; what is no number is the business of others."""
    import jsonschema

    numbers = isinstance(data, list) and all(isinstance(one, int | float) for one in data)
    if wanted and numbers and not all(a < b for a, b in pairwise(data)):
        yield jsonschema.ValidationError(f"{data} does not ascend: the lower number goes first")


def fill_defaults(data: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Put every ``default`` of a schema that ``data`` leaves out into it, in place."""
    schema = _followed(schema, root)
    for item in data if isinstance(data, list) else ():
        fill_defaults(item, schema.get("items", {}), root)
    if not isinstance(data, dict):
        return
    for key, part in schema.get("properties", {}).items():
        followed = _followed(part, root)
        if key not in data and "default" in followed:
            data[key] = copy.deepcopy(followed["default"])
        if key in data:
            fill_defaults(data[key], part, root)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for key in data.keys() - schema.get("properties", {}).keys():
            fill_defaults(data[key], others, root)


def _as_meant(data: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Numbers and switches that Snakemake's --config hands over as text: seeds=[0, 1].

    Where a schema takes no text, text is read as YAML; what it is not is left for the check.
    """
    import yaml

    from relad.study.checked_yaml import Loader

    schema = _followed(schema, root)
    if isinstance(data, list):
        return [_as_meant(item, schema.get("items", {}), root) for item in data]
    if isinstance(data, dict):
        parts, others = schema.get("properties", {}), schema.get("additionalProperties")
        others = others if isinstance(others, dict) else {}
        return {key: _as_meant(part, parts.get(key, others), root) for key, part in data.items()}
    if isinstance(data, str) and "type" in schema and "string" not in schema["type"]:
        with contextlib.suppress(yaml.YAMLError):
            return yaml.load(data, Loader)
    return data


def _followed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with what its ``$ref`` points to."""
    if "$ref" not in schema:
        return schema
    return {**root["$defs"][schema["$ref"].removeprefix("#/$defs/")], **schema}


@cache
def read_schema(name: str) -> dict[str, Any]:
    """``workflow/schemas/<name>.schema.yaml``."""
    return read_yaml(SCHEMAS / f"{name}.schema.yaml")


def checked(data: Any, schema: str, *, file: str | Path) -> Any:
    """Copy of ``data``, checked against a schema and with its defaults filled in.

    Raises
    ------
    ReladError
        Naming the key that is wrong.
    """
    data = _copied(data, file)
    check(data, schema, file=file)
    fill_defaults(data, read_schema(schema), read_schema(schema))
    return data


def _copied(data: Any, file: str | Path) -> Any:
    """Copy of what YAML holds, in plain types; Snakemake hands over dict types of its own."""
    try:
        return json.loads(json.dumps(data, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:  # dates, .nan, .inf, anchors in a ring
        raise ReladError(f"holds a value that no key takes ({error})", file=file) from None


def _relative_to_repository(path: str | Path) -> Path:
    """Method and ablation files may be given relative to the working folder or the repository."""
    path = Path(path)
    return path if path.is_absolute() or path.exists() else REPOSITORY / path


def resolve(config: Mapping[str, Any], *, file: str | Path = "configuration") -> dict[str, Any]:
    """Check a raw configuration, fill in defaults, tracers, methods and ablations.

    Returns
    -------
    A new dict of the shape that :mod:`relad.study.settings` types. ``methods`` maps every id,
    ablations included, to ``{class, label, family, groups, inputs, params, tuned, updates,
    sampling, ablates, trained_as, validated_by}``, where ``tuned`` maps each fold that was searched
    to whole ``params``; ``tuned_on`` is the data of these searches, and ``tuning.space`` its file's
    content; ``tracers`` holds every tracer's whole entry.
    """
    if isinstance(config.get("methods"), dict):
        return _copied(config, file)  # resolved before
    schema = read_schema("config")
    config = checked(_as_meant(_copied(config, file), schema, schema), "config", file=file)
    _check_cohorts(config, file=file)
    _resolve_overrides(config, file=file)
    _resolve_tracers(config, file=file)
    config["methods"] = _resolve_methods(config, file=file)
    _resolve_updates(config, file=file)
    _check_batches(config, file=file)
    config["methods"] = _resolve_models(config["methods"])
    _resolve_validation(config)
    _resolve_applied(config, file=file)
    for name in config.get("sampler_study", {}).get("methods", []):
        if config["methods"].get(name, {}).get("family") != "diffusion":
            raise ReladError(
                f"sampler_study.methods names {name!r}, which is no method of the family diffusion",
                file=file,
            )
    space = _relative_to_repository(config["tuning"]["space"])
    config["tuning"]["space"] = checked(read_yaml(space) or {}, "search", file=space)
    series = _relative_to_repository(config["ingest"]["series"])
    config["ingest"]["series"] = checked(read_yaml(series) or {}, "series", file=series)
    folds = config["folds"]
    folds.setdefault("run", list(range(folds["count"])))
    for fold in folds["run"]:
        if not 0 <= fold < folds["count"]:
            raise ReladError(
                f"folds.run names fold {fold}, but folds.count is {folds['count']}", file=file
            )
    return config


def training_cohort(config: Mapping[str, Any]) -> str:
    """Name of the cohort with the role ``train``."""
    return next(c for c, entry in config["cohorts"].items() if entry["role"] == "train")


def _check_cohorts(config: Mapping[str, Any], *, file: str | Path) -> None:
    """One cohort is trained on, and each has the keys its source needs and no others."""
    training = [c for c, entry in config["cohorts"].items() if entry["role"] == "train"]
    if len(training) != 1:
        raise ReladError(
            f"one cohort must have the role train, here {len(training)} have",
            file=file,
            hint=f"cohorts: {', '.join(config['cohorts'])}",
        )
    for cohort, entry in config["cohorts"].items():
        needs, takes = subjects.keys_of_source(cohort, entry["source"])
        missing = [key for key in needs if key not in entry]
        given = set(entry) - {"role", "source", "psf", "methods", "known_people"}
        idle = sorted(given - set(needs) - set(takes))
        if missing or idle:
            raise ReladError(
                f"cohorts.{cohort}: the source {entry['source']} "
                + (f"needs {', '.join(missing)}" if missing else f"reads no {', '.join(idle)}"),
                file=file,
                hint=f"its keys: {', '.join([*needs, *takes])}",
            )
        if "methods" in entry and entry["role"] != "apply":
            raise ReladError(
                f"cohorts.{cohort}.methods: methods are chosen for the role apply alone", file=file
            )
        if entry["role"] == "apply" and entry["source"] == "packed":
            raise ReladError(
                f"cohorts.{cohort}: packed volumes do not lead back to people's T1w",
                file=file,
                hint="models are applied to scans: give the source they came from",
            )


def _resolve_applied(config: dict[str, Any], *, file: str | Path) -> None:
    """Give every cohort with the role apply the methods that are applied to it."""
    methods = config["methods"]
    for cohort, entry in config["cohorts"].items():
        if entry["role"] != "apply":
            continue
        main = [name for name, method in methods.items() if "main" in method["groups"]]
        unknown = sorted(set(entry.setdefault("methods", main)) - set(methods))
        if unknown:
            raise ReladError(
                f"cohorts.{cohort}.methods names {', '.join(map(repr, unknown))}, no method of the "
                "study",
                file=file,
                hint=f"known: {', '.join(methods)}",
            )


def _resolve_methods(config: dict[str, Any], *, file: str | Path) -> dict[str, Any]:
    """Entries of methods and ablations, these with what they take over from their base."""
    methods_file = _relative_to_repository(config["methods"])
    ablations_file = _relative_to_repository(config.pop("ablations"))
    methods = checked(read_yaml(methods_file) or {}, "methods", file=methods_file)
    ablations = checked(read_yaml(ablations_file) or {}, "ablations", file=ablations_file)
    for name in config.pop("plugins"):
        if name in methods:
            raise ReladError(
                f"plugins names {name!r}, which is a method of {methods_file} already", file=file
            )
        methods[name] = installed_method(name)
    if catalogue.CEILING in {*methods, *ablations}:
        raise ReladError(
            f"{catalogue.CEILING!r} is what rows of `relad ceiling` are called, and no method's id",
            file=methods_file if catalogue.CEILING in methods else ablations_file,
            hint="give it another",
        )
    changes, tuned_file = _read_tuned(config)

    def tuned(name: str, params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """With what was found for the entry itself, by fold."""
        try:
            return {f: with_values(params[f], changes[f].get(name, {})) for f in changes}
        except ReladError as error:
            raise ReladError(f"{name}: {error.what}", file=tuned_file, hint=error.hint) from None

    resolved: dict[str, Any] = {
        name: {
            "label": name,
            **entry,
            "tuned": tuned(name, dict.fromkeys(changes, entry["params"])),
            "ablates": None,
        }
        for name, entry in methods.items()
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
            "label": base["label"] if _samples_only(entry) else name,
            **{k: v for k, v in entry.items() if k != "base"},
            "params": {**base["params"], **entry["params"]},
            "tuned": tuned(name, {f: {**base["tuned"][f], **entry["params"]} for f in changes}),
            "ablates": entry["base"],
        }
    unknown = sorted({name for of in changes.values() for name in of} - resolved.keys())
    if unknown:
        raise ReladError(
            f"has parameters of {', '.join(map(repr, unknown))}, no method of the study",
            file=tuned_file,
        )
    _check_groups(resolved, file=methods_file)
    _check_labels(resolved, ablations, files=(methods_file, ablations_file))
    return resolved


def _check_labels(
    methods: Mapping[str, Any], ablations: Mapping[str, Any], *, files: tuple[Path, Path]
) -> None:
    """Refuse one label of two methods of a group; what is sampled otherwise is told by that.

    ``files``: those of the methods and of the ablations.
    """
    first: dict[tuple[str, str], str] = {}
    for name, entry in methods.items():
        if name in ablations and _samples_only(ablations[name]):
            continue
        for group in entry["groups"]:
            other = first.setdefault((group, entry["label"]), name)
            if other != name:
                raise ReladError(
                    f"{other!r} and {name!r} have the same label {entry['label']!r}",
                    file=files[name in ablations],
                    hint=f"tables and figures of {group} tell methods by it: give each its own",
                )


def _read_tuned(config: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """What was found by fold, method and parameter, and the file that says so, if there is one.

    Of the file remains ``tuned_on``, see :func:`resolve`.

    Raises
    ------
    ReladError
        Where it was found on another cohort than the one trained on: its folds are others.
    """
    given = config.pop("tuned")
    config["tuned_on"] = None
    if given is None:
        return {}, None
    file = _relative_to_repository(given)
    found = checked(read_yaml(file) or {}, "tuned", file=file)
    cohort = training_cohort(config)
    if found["cohort"] != cohort:
        raise ReladError(
            f"was found on the cohort {found['cohort']!r}, but the study trains on {cohort!r}",
            file=file,
            hint="search on this study's cohort (`snakemake tune`)",
        )
    config["tuned_on"] = found["data"]
    return found["folds"], file


def with_values(params: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a method's parameters with other values at some paths, such as ``network.blocks``.

    Raises
    ------
    ReladError
        Where a path goes through a value that has no parameters of its own.
    """
    changed = copy.deepcopy(dict(params))
    for path, value in values.items():
        *levels, key = path.split(".")
        part = changed
        for level in levels:
            part = part.setdefault(level, {})
            if not isinstance(part, dict):
                raise ReladError(
                    f"{path}: {level} is {part!r}, which has no parameters of its own",
                    hint=f"give the whole of {level}",
                )
        part[key] = value
    return changed


def _samples_only(ablation: Mapping[str, Any]) -> bool:
    """Whether an entry samples its base in another way and changes nothing that is trained."""
    return "sampling" in ablation and "inputs" not in ablation and not ablation["params"]


def _resolve_models(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Give every method the entry whose models it samples, ``trained_as``: its own, or its base's.

    An entry that is trained as its base is not trained again. One that is also compared with its
    base, and so another sampling of it, comes right after it in tables and figures.
    """
    trained = ("class", "inputs", "params", "tuned", "updates")
    order: list[str] = []
    for name, entry in methods.items():
        base = methods.get(entry["ablates"], {})
        shared = all(base.get(key) == entry[key] for key in trained)
        entry["trained_as"] = base["trained_as"] if shared else name
        if shared and set(entry["groups"]) & set(base["groups"]):
            beside = [n for n in order if methods[n]["trained_as"] == entry["trained_as"]]
            order.insert(order.index(beside[-1]) + 1, name)
        else:
            order.append(name)
    return {name: methods[name] for name in order}


def _resolve_validation(config: dict[str, Any]) -> None:
    """Give every method the sampling that validates its trainings, ``validated_by``: one sample.

    No more of it than tells weights apart, so that another number of steps or samples, or another
    temperature, trains nothing again. None where it changes nothing: of a method that is not
    sampled, or with nobody to validate.
    """
    wanted = config["training"]["validation"]
    for entry in config["methods"].values():
        sampling = of_method(config, entry) if wanted["subjects"] else None
        if sampling:
            steps = min(sampling.steps, wanted["steps"])
            sampling = replace(sampling, steps=steps, samples=1, temperature=1.0)
        entry["validated_by"] = sampling and sampling.name


def _resolve_overrides(config: dict[str, Any], *, file: str | Path) -> None:
    """Read the tables of overrides, where they are such; give each entry its cohort."""
    cohorts = list(config["cohorts"])
    for section in ("qc", "ingest"):
        where, name = config[section], f"{section}.overrides"
        source = file
        if isinstance(where["overrides"], str):
            source = _relative_to_repository(where["overrides"])
            rows = read_table(source)
            where["overrides"] = [
                {str(k): v for k, v in row.items() if v is not None} for row in rows
            ]
            check(config, "config", file=source)
        seen = set()
        for entry in where["overrides"]:
            about = entry.get("series") or entry["subject"]
            hint = f"cohorts: {', '.join(cohorts)}"
            if "cohort" not in entry and len(cohorts) > 1:
                raise ReladError(f"{name}: {about} lacks its cohort", file=source, hint=hint)
            cohort = entry.setdefault("cohort", cohorts[0])
            if cohort not in cohorts:
                raise ReladError(
                    f"{name}: {about} is of {cohort!r}, not one of the cohorts", file=source,
                    hint=hint,
                )  # fmt: skip
            if (cohort, about, entry.get("key")) in seen:
                raise ReladError(f"{name} names {about} of {cohort} twice", file=source)
            seen.add((cohort, about, entry.get("key")))


#: What a tracer's entry holds in the end, from the study or from the table of ligands.
TRACER_KEYS = ("frames_min", "reference_region", "reference_erosion_mm", "suvr_window")


def _resolve_tracers(config: dict[str, Any], *, file: str | Path) -> None:
    """Complete the tracers' entries from the table of ligands, and the cohorts' resolutions."""
    table = checked(read_yaml(TRACERS) or {}, "tracers", file=TRACERS)
    atlas = config.pop("atlas", None)
    owners: dict[str, str] = {}
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
        region = entry["reference_region"]
        if isinstance(region, dict) and "segmentation" in region:
            _require_real_people(name, config["cohorts"], file=file)
        elif isinstance(region, dict):
            entry["reference_region"] = region = {**(atlas or {}), **region}
            absent = [key for key in ("labels", "table") if key not in region]
            if absent:
                raise ReladError(
                    f"tracer {name!r}: reference_region has names but no {' and no '.join(absent)}",
                    file=file,
                    hint="name the label image and its table there, or for all tracers under atlas",
                )
        config["tracers"][name] = entry
        for ligand in (entry["ligand"], *entry["aliases"]):
            other = owners.setdefault(re.sub(r"[\W_]", "", ligand).lower(), name)
            if other != name:
                raise ReladError(
                    f"tracers {other!r} and {name!r} are both {ligand}: a PET of it could be of "
                    "either",
                    file=file,
                    hint="leave one of them; a second window or region is a study of its own",
                )
        _require_regions(name, entry, config["segmentation"]["regions"], file=file)
    for cohort, place in config["cohorts"].items():
        own = place["psf"]
        unknown = sorted(set(own) - set(config["tracers"]))
        if unknown:
            raise ReladError(
                f"cohorts.{cohort}.psf names {', '.join(map(repr, unknown))}, not a tracer of this "
                "study",
                file=file,
                hint=f"tracers: {', '.join(config['tracers'])}",
            )
        for tracer, psf in own.items():
            if psf["target_fwhm_mm"] < psf["known_fwhm_mm"]:
                raise ReladError(
                    f"cohorts.{cohort}.psf.{tracer}: a resolution of {psf['known_fwhm_mm']:g} mm "
                    f"cannot be sharpened to {psf['target_fwhm_mm']:g} mm",
                    file=file,
                    hint="the target of harmonisation is the coarsest scanner's resolution",
                )


def _require_regions(
    tracer: str, entry: Mapping[str, Any], own: Mapping[str, Any], *, file: str | Path
) -> None:
    """Refuse regions of a tracer's tables in which nothing would be measured."""
    cut = entry.get("positivity")
    named = [("regions", region) for region in entry.get("regions", ())]
    named += [("positivity.region", cut["region"])] if cut else []
    known = [catalogue.BRAIN, *REGIONS, *COMPOSITES, *own]
    for key, region in named:
        if region not in known:
            raise ReladError(
                f"at tracers.{tracer}.{key}: {region!r} is no region",
                file=file,
                hint=f"known: {', '.join(known)}; a further one: segmentation.regions",
            )


def _require_real_people(tracer: str, cohorts: Mapping[str, Any], *, file: str | Path) -> None:
    simulated = [cohort for cohort, entry in cohorts.items() if entry["source"] == "phantom"]
    if simulated:
        raise ReladError(
            f"tracer {tracer!r}: reference_region asks for people's own segmentations, which the "
            f"simulated cohort {simulated[0]} has not",
            file=file,
            hint="name one of relad's own regions",
        )


def installed_method(name: str) -> dict[str, Any]:
    """Entry of a method that an installed package brings, as it might stand in a study's methods.

    Raises
    ------
    ReladError
        Where no package or several bring it, or its entry is wrong.
    """
    point = plugins.named(name)
    beside = plugins.entries_beside(point)
    own = _own_entry(point, beside) if beside else {}
    if "class" in own:
        raise ReladError(
            f"the entry of {name!r} names a class", file=beside, hint="the entry point does that"
        )
    entry = {**own, "class": point.value}
    file = beside or f"entry point of {plugins.origin(point)}"
    return checked({name: entry}, "methods", file=file)[name]


def _own_entry(point: EntryPoint, file: Path) -> dict[str, Any]:
    """What the file of a package's own entries says of a method."""
    entries, known = read_yaml(file) or {}, plugins.of_package(point)
    if not isinstance(entries, dict) or (strange := sorted(set(map(str, entries)) - set(known))):
        what = f"{strange[0]!r} is" if isinstance(entries, dict) else "a list is"
        raise ReladError(
            f"{what} no method of this package",
            file=file,
            hint=f"entries begin with the entry point's name: {', '.join(known)}",
        )
    own = entries.get(point.name) or {}
    if not isinstance(own, dict):
        raise ReladError(
            f"{point.name}: {own!r} is no entry",
            file=file,
            hint="give label, params and the like below it, see docs/protocol.md",
        )
    return own


def own_groups(methods: Mapping[str, Any]) -> list[str]:
    """Groups with a table and a figure of their own name, see :mod:`relad.study.catalogue`."""
    return catalogue.own_groups(entry["groups"] for entry in methods.values())


def _check_groups(methods: Mapping[str, Any], *, file: str | Path) -> None:
    taken = [group for group in own_groups(methods) if group in catalogue.names()]
    if taken:
        raise ReladError(
            f"group {taken[0]!r} has the name of another table or figure",
            file=file,
            hint="call it something else",
        )


def _check_batches(config: Mapping[str, Any], *, file: str | Path) -> None:
    training = config["training"]
    if training["batch_size"] % training["processes"]:
        raise ReladError(
            f"training.batch_size {training['batch_size']} cannot be shared by "
            f"{training['processes']} processes",
            file=file,
            hint="it counts the volumes of all processes together; give a multiple",
        )


def _resolve_updates(config: dict[str, Any], *, file: str | Path) -> None:
    """Give every method the length of its training that its groups ask for, or None."""
    of_groups = config["training"].pop("group_updates")
    known = own_groups(config["methods"])
    unknown = sorted(set(of_groups) - set(known))
    if unknown:
        raise ReladError(
            f"training.group_updates names {', '.join(map(repr, unknown))}, not a group of methods",
            file=file,
            hint=f"groups with a table of their own: {', '.join(known) or 'none'}",
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


def load(path: str | Path = DEFAULT) -> dict[str, Any]:
    """Read, check and resolve a configuration file."""
    config = read_yaml(path) or {}
    if not isinstance(config, dict):
        raise ReladError("is no configuration: it holds no keys", file=path)
    return resolve(config, file=path)


def load_settings(source: str | Path | None, kind: type[T], *, fold: int | None = None) -> T:
    """Settings of one step from a file.

    Parameters
    ----------
    source
        A study's configuration (YAML); or one step's part of a resolved one, a ``.json`` file, as
        the workflow passes it; None for the repository's ``config/config.yaml``.
    kind
        The step's class of :mod:`relad.study.settings`.
    fold
        Of a training: a study's methods then have the parameters found for it, if any were; one
        step's part has them already.
    """
    file = Path(source or DEFAULT)
    if file.suffix == ".json":
        study = read_object(file)
        _check_part(study, kind, file=file)
    else:
        study = load(file)
        if fold is not None:
            study["methods"] = of_fold(study["methods"], fold)
    try:
        return typed(kind, study)
    except ReladError as error:
        raise ReladError(error.what, file=file, hint=error.hint) from None


#: Sections that a resolved configuration holds in another form than its file.
_RESOLVED = ("methods", "tuning", "ingest", "tracers", "cohorts", "tuned_on")


def _check_part(part: Mapping[str, Any], kind: type, *, file: Path) -> None:
    """Check those sections of a step's part of a configuration that it holds as they were given."""
    wanted = {field.name for field in fields(kind)} - set(_RESOLVED)
    given = {key: part[key] for key in wanted & part.keys()}
    schema = read_schema("config")
    known = {key: schema["properties"][key] for key in given}
    check(given, {"$defs": schema["$defs"], "properties": known}, file=file)


def of_cohort(cohorts: Mapping[str, T], name: str) -> T:
    """Entry of a cohort in a step's settings.

    Raises
    ------
    ReladError
        Where there is none of this name.
    """
    if name not in cohorts:
        raise ReladError(f"no cohort {name!r}", hint=f"known: {', '.join(cohorts)}")
    return cohorts[name]
