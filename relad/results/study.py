"""What tables and figures are made of, and how those of a step are made."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from relad.cli import add_settings
from relad.data.dataset import PackedDataset
from relad.data.overlap import listed
from relad.errors import ReladError
from relad.results.measured import (
    Measured,
    read_measured,
    require_measured_alike,
    versions_note,
)
from relad.results.records import (
    Synthesis,
    Training,
    code_note,
    read_synthesis,
    read_training,
    require_alike,
    require_known,
)
from relad.results.scores import read_all, subject_values
from relad.study import catalogue
from relad.study.catalogue import Result
from relad.study.config import load_settings
from relad.study.paths import TRAINING_RECORD
from relad.study.sampling import described, whole
from relad.study.settings import ResultSettings

#: What is not known of methods whose trainings are not given.
_UNSEEN = "Trainings not given, so that nobody checked whom the models had seen"
_FOLDERS = {"models": "train", "synthesized": "synthesize", "packed": "pack"}


@dataclass
class Study:
    """Results of one study.

    Attributes
    ----------
    settings
        Cohorts, tracers, methods, and how values are averaged.
    scores, ceiling
        Rows of methods and of the ceiling, as :func:`relad.results.scores.read_all` gives them.
    models, synthesized
        What trainings and syntheses wrote about themselves.
    packed
        Packed datasets by cohort.
    files
        What all of it was read from: files of metrics, and folders by the name of their option.
    measured
        What the records beside the tables of metrics say of how these were measured.
    """

    settings: ResultSettings
    scores: pd.DataFrame
    models: list[Training] = field(default_factory=list)
    synthesized: list[Synthesis] = field(default_factory=list)
    packed: dict[str, PackedDataset] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)
    ceiling: pd.DataFrame = field(default_factory=pd.DataFrame)
    measured: list[Measured] = field(default_factory=list)

    @classmethod
    def read(
        cls,
        settings: ResultSettings,
        metrics: Iterable[str | Path],
        models: Iterable[str | Path] = (),
        synthesized: Iterable[str | Path] = (),
        packed: Iterable[str | Path] = (),
    ) -> Study:
        """Read results of one study.

        Raises
        ------
        ReladError
            Where something is of a method that the study does not have; where a model was tested
            on people it was trained or chosen with, or not on all whom its fold tests; where rows
            were measured on different packed data.
        """
        files = {
            "metrics": [Path(file) for file in metrics],
            "models": sorted(map(Path, models)),
            "synthesized": sorted(map(Path, synthesized)),
            "packed": [Path(folder) for folder in packed],
        }
        scores, ceiling = read_all(files["metrics"], settings)
        measured = read_measured(files["metrics"])
        require_measured_alike(measured)
        study = cls(
            settings=settings,
            scores=scores,
            ceiling=ceiling,
            models=[read_training(folder) for folder in files["models"]],
            synthesized=[read_synthesis(folder) for folder in files["synthesized"]],
            packed={dataset.cohort: dataset for dataset in map(PackedDataset, files["packed"])},
            files=files,
            measured=measured,
        )
        require_known([*study.models, *study.synthesized], settings.methods)
        study._require_unseen()
        return study

    def _require_unseen(self) -> None:
        """Refuse rows of the training cohort's people whom the model knew, and rows of too few."""
        entries = self.settings.methods
        home = [c for c, entry in self.settings.cohorts.items() if entry.role == "train"]
        of = self.scores[self.scores["cohort"].isin(home)]
        of = of[["method", "fold", "seed", "subject", "file"]].drop_duplicates()
        untrained = {str(measured.file) for measured in self.measured if measured.untrained}
        trained_as = of["method"].map(lambda method: entries[method].trained_as).astype(str)
        for model in self.models:
            run = (trained_as == model.method) & (of["fold"] == str(model.fold))
            rows = of[run & (of["seed"] == str(model.seed))]
            tested = set(rows["subject"])
            self._require_all(model, tested, untrained=set(rows["file"]) <= untrained)
            for part in ("train", "validation"):
                if known := sorted(tested & set(model.subjects[part])):
                    raise ReladError(
                        f"{model.method} was tested on people it was trained with ({part}): "
                        f"{listed(known)}",
                        file=model.folder / TRAINING_RECORD,
                        hint="synthesise and evaluate again with this model, or give the models "
                        "that were tested",
                    )

    def _require_all(self, model: Training, tested: set[str], *, untrained: bool) -> None:
        """Refuse results of a model that lack somebody whom its fold tests.

        Of a tracer that the model did not learn nobody was synthesised, and of somebody whose PET
        is all of such tracers there are no rows: where tables tell that there is one (untrained),
        they may lack people.
        """
        if not tested or untrained:
            return
        if lacking := sorted(set(model.subjects["test"]) - tested):
            raise ReladError(
                f"{model.method} has no values of people whom its fold tests: {listed(lacking)}",
                file=model.folder / TRAINING_RECORD,
                hint="give the whole METRICS.csv of `relad evaluate`",
            )

    def lacking(self, result: Result) -> str:
        """What to give where methods have metrics, but not the one they are compared with."""
        if result.group is None or result.of_samples:
            return ""  # where each method stands for itself
        there = set(self.scores.loc[self.scores["cohort"].isin(self.cohorts(result)), "method"])
        for base, *others in self.comparisons(result):
            waiting = [method for method in others if method in there]
            if waiting and base not in there:
                return f"give METRICS.csv of {base}, with which {', '.join(waiting)} are compared"
        return ""

    def twins(self, methods: Sequence[str]) -> str:
        """Say which methods, or seeds of one, have the same values in every row; empty if none.

        Methods that a fold determines, such as a template, have the same values with every seed.
        Of each tracer alone: where the images of one are another's, those of the rest hide it.
        """
        chosen = self.scores[self.scores["method"].isin(methods)]
        if chosen.empty:
            return ""
        of_methods = chosen.groupby(["cohort", "method"], observed=True)
        scores = pd.concat([of[of["sampler"].isin(whole(of["sampler"]))] for _, of in of_methods])
        runs = ["cohort", "fold", "tracer", "method", "seed"]
        row = ["subject", "tracer", "region", "metric", "value"]
        hashes = pd.util.hash_pandas_object(scores[row], index=False)
        content = hashes.groupby([scores[key] for key in runs], observed=True)
        same = content.agg(lambda parts: hash(tuple(sorted(parts)))).reset_index(name="hash")
        found: dict[tuple[str, str], dict[str, list[str]]] = {}

        def tell(place: tuple[str, str], what: str, question: str) -> None:
            of_place = found.setdefault((what, question), {})
            of_place.setdefault(place[1], []).append(place[0])

        by = ["cohort", "fold", "tracer", "hash"]
        for (cohort, fold, tracer, _), alike in same.groupby(by, observed=True):
            place = str(tracer), f"{cohort} (fold {fold})"
            names = dict.fromkeys(map(self.label, alike["method"]))
            if len(names) > 1:
                tell(place, f"{' and '.join(names)} have the same values", "are they one?")
            for method, of in alike.groupby("method", observed=True):
                if len(of) > 1 and not self.determined(str(method)):
                    seeds = " and ".join(of["seed"])
                    label = self.label(str(method))
                    same_seeds = f"{label} has the same values with seeds {seeds}"
                    tell(place, same_seeds, "does it use them?")
        told = []
        for (what, question), places in found.items():
            where = "; ".join(f"{', '.join(of)} in {place}" for place, of in places.items())
            told.append(f"{what} in every row of {where}: {question}")
        return " ".join(told)

    def determined(self, method: str) -> bool:
        """Whether a method's model follows from its fold alone, whatever the seed."""
        entry = self.settings.methods[method]
        models = [model.single_pass for model in self.models if model.method == entry.trained_as]
        return all(models) if models else entry.family == catalogue.FLOOR

    def cohorts(self, result: Result) -> list[str]:
        """Cohorts that a result shows."""
        return [c for c, entry in self.settings.cohorts.items() if result.shows(entry.role)]

    def comparisons(self, result: Result) -> list[list[str]]:
        """Methods that a result compares with one another, see :meth:`Result.comparisons`."""
        return result.comparisons(self.settings.methods)

    def values(
        self, result: Result, methods: Sequence[str], scores: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Values per subject of methods that are compared, in the cohorts of a result.

        ``scores``: a part of the study's; all where it is not given.
        """
        scores = self.scores if scores is None else scores
        return subject_values(
            scores,
            self.cohorts(result),
            methods,
            result.metrics,
            result.region,
            single_samples=result.single_samples,
        )

    def note(self, result: Result) -> str:
        """What a caption must say of the models and rows that a result compares.

        Raises
        ------
        ReladError
            Where they cannot be compared, see :func:`require_alike`.
        """
        shown: list[Training] = []
        twins: dict[str, None] = {}
        unknown: dict[str, None] = {}
        there = {*self.scores["method"]}
        for methods in self.comparisons(result):
            trained = {self.settings.methods[method].trained_as for method in methods}
            trainings = [training for training in self.models if training.method in trained]
            require_alike(trainings)
            shown += trainings
            twins[self.twins(methods)] = None
            known = {training.method for training in trainings}
            without = (m for m in methods if self.settings.methods[m].trained_as not in known)
            unknown |= dict.fromkeys(self.label(method) for method in without if method in there)
        of_code = code_note(shown, self.settings.methods), versions_note(self.measured)
        unseen = f"{_UNSEEN}: {', '.join(unknown)}." if unknown else ""
        return " ".join(filter(None, [*of_code, unseen, *twins]))

    def label(self, method: str) -> str:
        """Name of a method for reading; with its sampling where another shares model and name."""
        methods = self.settings.methods
        names = [(entry.label, entry.trained_as) for entry in methods.values()]
        label, trained_as = methods[method].label, methods[method].trained_as
        samplers = self.samplers(method) if names.count((label, trained_as)) > 1 else []
        return f"{label}, {described(samplers[0])}" if len(samplers) == 1 else label

    def samplers(self, method: str) -> list[str]:
        """How a method's images were made: one name, where it was sampled in one way."""
        of_scores = self.scores.loc[self.scores["method"] == method, "sampler"].unique()
        return whole([*of_scores, *(s.sampler for s in self.synthesized if s.method == method)])

    def tracer_label(self, tracer: str) -> str:
        """The tracer's id with its ligand, ``tau (AV1451)``."""
        return f"{tracer} ({self.settings.tracers[tracer].ligand})"


def add_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add what a step that makes tables or figures is given, and the list of them to its help."""
    parser.add_argument(
        "metrics",
        nargs="*",
        metavar="METRICS.csv",
        help="tables of `relad evaluate` and `relad ceiling`",
    )
    for name, step in _FOLDERS.items():
        parser.add_argument(
            f"--{name}", nargs="*", default=[], metavar="DIR", help=f"folders of `relad {step}`"
        )
    parser.add_argument("--out", required=True, metavar="DIR", help=f"folder of the {kind}s")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"make this {kind} alone (may be given more than once)",
    )
    add_settings(parser)
    parser.epilog = catalogue.listing(kind)


def function_of(result: Result) -> Callable[[Study, Result], Any]:
    """What makes a table or figure, or None, of a study."""
    return getattr(importlib.import_module(result.module), result.function.split(":")[1])


def make(args: argparse.Namespace, kind: str) -> Iterator[tuple[Study, Result, Any, str]]:
    """Make the tables or figures that are asked for, or else all for which something is given.

    Yields
    ------
    The study, the catalogue's entry, what its function made of the study, and a sentence, or none,
    that its caption must end with.

    Raises
    ------
    ReladError
        Where nothing is given for one that is asked for by name, or for any; where the models of
        one cannot be compared.
    """
    settings = load_settings(args.settings, ResultSettings)
    known = catalogue.of_study(kind, settings.methods)
    for name in args.only or ():
        if name not in known:
            raise ReladError(f"no {kind} {name!r}", hint=f"known: {', '.join(known)}")
    study = Study.read(settings, args.metrics, args.models, args.synthesized, args.packed)
    made = False
    for name in args.only or [name for name, result in known.items() if result.of_all]:
        result = known[name]
        note = study.note(result)
        product = function_of(result)(study, result)
        if product is not None:
            made = True
            yield study, result, product, note
        elif args.only:
            hint = study.lacking(result) or result.hint
            raise ReladError(f"nothing was given for the {kind} {name!r}", hint=hint)
        else:
            why = f" -- {lacking}" if (lacking := study.lacking(result)) else ""
            print(f"{kind}s: nothing given for {name}; left out{why}", file=sys.stderr)
    if not made:
        raise ReladError(f"nothing to make a {kind} of", hint="give METRICS.csv or --models")
