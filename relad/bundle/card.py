"""The model card: what a bundle says to a reader, made from its numbers alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relad.bundle.form import PARTS, SCORES, UNSPECIFIED
from relad.status import RESEARCH_ONLY, Kind, Modality
from relad.study.paths import TRAINING_RECORD


@dataclass(frozen=True)
class Score:
    """Mean and standard deviation (n - 1) of a metric over a cohort's test subjects.

    Attributes
    ----------
    cohort, data, sampler, tracer, region, metric
        As in the tables of ``relad evaluate``.
    n
        Test subjects.
    mean, sd
        In the metric's unit; ``sd`` is None of a single subject.
    label, decimals
        The metric's name with its unit, and its decimals, where the card shows it; None elsewhere.
    """

    cohort: str
    data: str
    sampler: str
    tracer: str
    region: str
    metric: str
    n: int
    mean: float
    sd: float | None
    label: str | None = None
    decimals: int = 0


#: Columns of ``scores.csv``.
SCORE_COLUMNS = ("cohort", "data", "sampler", "tracer", "region", "metric", "n", "mean", "sd")


def mark_of(kind: Kind) -> str:
    """What data are, for the face of a bundle: real ones say so too."""
    return kind.note or "REAL DATA (scans of people)"


def write(
    info: Mapping[str, Any], license_: str, scores: Sequence[Score], files: Collection[str]
) -> str:
    """Model card in Markdown.

    Parameters
    ----------
    info
        ``train.json``.
    license_
        Of the bundle.
    scores
        Of test subjects.
    files
        Names of the bundle's files.
    """
    entry, kind = info["entry"], Kind(info["kind"])
    trained = [t for t in info["tracers"] if t in info.get("trained_tracers", info["tracers"])]
    versions = ", ".join(f"{k} {v}" for k, v in info["provenance"]["versions"].items())
    counts = info["counts"]
    asked = license_ if license_ != UNSPECIFIED else (
        "unspecified: its maker has stated none; ask before you use it or pass it on"
    )  # fmt: skip
    facts = {
        "method": f"`{info['method']}`, class `{entry['class']}`",
        "takes": f"{' and '.join(entry['inputs'])}, preprocessed",
        "gives": f"PET in SUVR of {', '.join(trained)}",
        "gives no": ", ".join(t for t in info["tracers"] if t not in trained),
        "weights": f"{counts['parameters_generator']:,}"
        if "parameters_generator" in counts
        else "",
        "licence": asked,
        "made with": versions,
    }
    simulated = "" if kind is Kind.REAL else " What it makes says nothing about patients."
    parts = [
        f"# {info['method']}: PET of {', '.join(trained)} from {' and '.join(entry['inputs'])}",
        f"> **{mark_of(kind)}.** That is what this model was trained on.{simulated}",
        f"> **{RESEARCH_ONLY}** A synthetic image is a guess from MRI, not a measurement.",
        _table(("", ""), [(k, v) for k, v in facts.items() if v]),
        "## Use",
        f"```bash\n{_commands(info, trained)}\n```",
        "BUNDLE is the file that this card came in. It is checked and read from disk alone; "
        "nothing is downloaded.",
        "## Training",
        _training(info),
        "## Scores",
        _validation(info),
        *_test(scores),
        "## Preprocessing",
        _preprocessing(info.get("preprocessing")),
        "## Limits",
        _limits(info, scores),
        "## Files",
        _table(
            ("file", "what it holds"), [(f"`{n}`", p.what) for n, p in PARTS.items() if n in files]
        ),
    ]
    return "\n\n".join(parts).replace(">\n\n> ", ">\n> ") + "\n"


def _commands(info: Mapping[str, Any], trained: Sequence[str]) -> str:
    """What applies the model: to one person's raw scans, where it says how to preprocess them."""
    of_cohort = "relad synthesize BUNDLE PACKED_COHORT OUT"
    if info.get("preprocessing") is None:
        return of_cohort
    flair = " --flair FLAIR.nii.gz" if Modality.FLAIR in info["entry"]["inputs"] else ""
    of_person = f"relad predict BUNDLE --t1 T1w.nii.gz{flair} --tracer {trained[0]} OUT"
    return f"{of_person}\n{of_cohort}"


def _training(info: Mapping[str, Any]) -> str:
    people = {part: len(names) for part, names in info.get("subjects", {}).items()}
    counts, measured = info["counts"], info.get("measured", {})
    of = [f"{n} {'person' if n == 1 else 'people'} {_PARTS[part]}" for part, n in people.items()]
    said = [
        f"Cohort {info['cohort']} ({Kind(info['kind'])}), fold {info['fold']} held out, seed "
        f"{info['seed']}" + (f": {', '.join(of)}." if of else ".")
    ]
    if counts.get("updates") is not None:
        batch = f" of {counts['batch_size']} volumes" if "batch_size" in counts else ""
        said.append(f"{counts['updates']} updates{batch}.")
    if "seconds" in measured:
        said.append(f"{measured['seconds']:.0f} s on {measured.get('device', 'a device unknown')}.")
    said.append(f"All settings stand in `{TRAINING_RECORD}` (`entry`, `provenance`).")
    return " ".join(said)


#: Parts of ``subjects`` in train.json, in words.
_PARTS = {"train": "trained on", "validation": "in validation", "test": "held out for the test"}


def _validation(info: Mapping[str, Any]) -> str:
    chosen = info.get("validation")
    if not chosen:
        return "No validation was made: these are the weights of the last update."
    return (
        f"Validation: PSNR {chosen['psnr']:.2f} dB over {chosen['pairs']} volumes, at update "
        f"{chosen['update']}, the best of all validations: the weights were chosen by it."
    )


def _test(scores: Sequence[Score]) -> list[str]:
    if not scores:
        return ["No scores of test subjects came with the model."]
    shown = [score for score in scores if score.label]
    columns = list(dict.fromkeys(score.label for score in shown))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for score in shown:
        row = (score.cohort, score.data, score.tracer, score.sampler, str(score.n))
        text = f"{score.mean:.{score.decimals}f}"
        text += "" if score.sd is None else f" ± {score.sd:.{score.decimals}f}"
        rows.setdefault(row, {})[score.label] = text
    marks = dict.fromkeys(mark_of(Kind(score.data)) for score in scores)
    return [
        "Test subjects, none of whom it was trained on, inside the brain: mean ± standard "
        f"deviation over n people. All metrics and regions stand in `{SCORES}`. "
        f"Data: {'; '.join(marks)}.",
        _table(
            ("cohort", "data", "tracer", "sampling", "n", *columns),
            [
                (*row, *(values.get(column, "") for column in columns))
                for row, values in rows.items()
            ],
        ),
    ]


def _preprocessing(settings: Mapping[str, Any] | None) -> str:
    if settings is None:
        return (
            "The model says nothing of it. Ask its maker for the study's configuration: scans must "
            "have gone the same way as those of the training."
        )
    registration, grid = settings["registration"], settings["grid"]
    brains = registration["brain_extraction"]
    masks = "masks that you bring" if brains == "derivatives" else f"`{brains}`"
    return (
        f"MNI152, {' x '.join(map(str, grid['shape']))} voxels of {grid['voxel_mm']:g} mm; map to "
        f"MNI `{registration.get('to_mni')}`; brains by {masks}. All settings stand in "
        f"`{TRAINING_RECORD}` (`preprocessing`): scans must have gone the same way."
    )


def _limits(info: Mapping[str, Any], scores: Sequence[Score]) -> str:
    people = len(info.get("subjects", {}).get("train", ()))
    said = [
        f"It has seen {people or 'an unknown number of'} people of one cohort. Whoever differs "
        "from them, in scanner, sequence, age or disease, is a guess that nothing here vouches "
        "for.",
        *_seen(info.get("seen") or {}),
    ]
    if not any(score.cohort != info["cohort"] for score in scores):
        said.append("It was not tested on another cohort, as far as this card knows.")
    said.append(
        f"`{TRAINING_RECORD}` names the pseudonyms of the people it was trained on, so that nobody "
        "tests it on them."
    )
    return "\n".join(f"- {line}" for line in said)


def _seen(seen: Mapping[str, Any]) -> Iterator[str]:
    """What is known of the training people, as ranges; see `seen` of train.json."""
    if scanners := seen.get("scanners"):
        yield f"Their scanners: {', '.join(scanners)}."
    for name, of in seen.get("measures", {}).items():
        if name in _MEASURES:
            label, unit = _MEASURES[name]
            yield f"Their {label}: {of['low']:g} to {of['high']:g} {unit} ({of['n']} known)."


#: Measures of ``seen`` that mean something to a reader: name and unit.
_MEASURES = {"age": ("age", "years"), "brain_volume_ml": ("brain volume", "ml")}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
