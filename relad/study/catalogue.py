"""Every table and figure of a study: what it shows, what it is made of, and what makes it.

The one list that the steps `tables` and `figures`, the workflow, its report and the check of a
study's groups read; a new table or figure is an entry here and the function it names. Standard
library only, since the Snakefile imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relad.study.settings import ComparedMethod

TABLE, FIGURE = "table", "figure"

#: The region of most results: the subject's brain mask, as far as the PET reaches.
BRAIN = "brain"

#: What stands in the place of a method in rows of ``relad ceiling``; no method has this id.
CEILING = "ceiling"

#: Family of the methods that look at nothing of the person; the first of them is the floor.
FLOOR = "floor"

#: Kind -> the forms it is written in; the last one begins with its caption, see :class:`Caption`.
SUFFIXES = {TABLE: ("csv", "tex", "md"), FIGURE: ("png", "pdf", "txt")}
#: Kind -> form of what tells what it was made of, see :mod:`relad.results.origin`.
RECORDS = {TABLE: "table.json", FIGURE: "figure.json"}


@dataclass(frozen=True)
class Result:
    """One table or figure.

    Attributes
    ----------
    kind
        :data:`TABLE` or :data:`FIGURE`.
    name
        Its file's, without suffix.
    function
        ``module:function`` that makes it of a :class:`relad.results.study.Study` and this entry; it
        returns None where the study holds nothing for it.
    title
        What its caption begins with, and its line in the help.
    caption
        What a figure's caption goes on with, whole sentences. A table's is made with its numbers.
    role
        Of the cohorts it shows: ``train`` or ``external``; None: both.
    group
        Group of the methods it compares; ``ablation``: each ablated method and its ablations; None:
        the methods of the sampler study, each for itself.
    metrics, region
        What it shows of :data:`relad.results.metrics.METRICS`, and where that was measured.
    single_samples
        Whether a method that gives the mean of several samples also has rows of one of them.
    needs
        What it is made of, of ``metrics``, ``models``, ``synthesized`` and ``packed``; with
        ``ceiling`` also of rows of ``relad ceiling``, of cohorts that have them.
    of_all
        Whether the workflow's target `all` makes it.
    of_samples
        Whether there is none of it where no method gives the mean of several samples.
    """

    kind: str
    name: str
    function: str
    title: str
    caption: str = ""
    role: str | None = "train"
    group: str | None = "main"
    metrics: tuple[str, ...] = ("psnr", "ssim", "mae")
    region: str = BRAIN
    single_samples: bool = False
    needs: tuple[str, ...] = ("metrics",)
    of_all: bool = True
    of_samples: bool = False

    @property
    def module(self) -> str:
        """Of the function."""
        return self.function.partition(":")[0]

    def shows(self, role: str) -> bool:
        """Whether it shows cohorts of this role; models are applied to those of the role apply."""
        return role == self.role or (self.role is None and role != "apply")

    def comparisons(self, methods: Mapping[str, ComparedMethod]) -> list[list[str]]:
        """Methods that are compared with one another, the one they are measured against first."""
        if self.group is None:
            return [[name] for name in methods]
        members = [name for name, entry in methods.items() if self.group in entry.groups]
        if self.group != "ablation":
            return [members] if members else []
        bases = dict.fromkeys(methods[name].ablates for name in members)
        return [[base, *(m for m in members if methods[m].ablates == base)] for base in bases]

    @property
    def hint(self) -> str:
        """What to give on the command line."""
        cohort = {
            "train": "the training cohort",
            "external": "an external cohort",
            None: "the study's cohorts",
        }[self.role]
        methods = {
            "main": "",
            "ablation": " for an ablated method and its ablations",
            None: " for the sampler study",
        }.get(self.group, f" for the methods of the group {self.group}")
        given = [
            {"metrics": "METRICS.csv"}.get(need, f"--{need}")
            for need in self.needs
            if need != CEILING
        ]
        samples = ", of a method whose sampling.samples is 2 or more" if self.of_samples else ""
        return f"give {', '.join(given)} of {cohort}{methods}{samples}"


_ACCURACY = "relad.results.tables.accuracy:accuracy_table"
_DIFFERENCES = (
    "Difference to {} in each held-out subject (points), with mean and interval over subjects."
)
_PANELS = (
    "MRI, true PET, every method's synthetic PET and, below it, synthetic minus true. Each tracer "
    "shows the held-out subject whose PSNR, averaged over methods, is the median, in an axial, a "
    "coronal and a sagittal slice at fixed places in MNI space, left hemisphere on the left. All "
    "PET of a tracer has one SUVR range, all differences another; where values lie beyond it, the "
    "colour bar has a pointed end."
)
_DISTRIBUTIONS = (
    "PSNR, SSIM (3D) and MAE of every subject inside the brain mask (points), with median and "
    "quartiles (box) and whiskers to 1.5 interquartile ranges; data range as wide as the tracer's "
    "SUVR window. Dashed, of simulated PET: what no method can beat on average."
)
#: With SSIM as papers mostly have it.
_COMPARABLE = ("psnr", "ssim", "ssim_open", "mae")
#: What an adversary and a sampler change, and PSNR hardly sees.
_FIDELITY = ("psnr", "mae", "hfen", "spectral_high", "crps", "spread_skill")
_SHARP = ("hfen", "spectral_high")
_DETAIL = (*_SHARP, "crps")
_SHARPNESS = "Error of fine structure, its power, and the score of all samples"
#: By what methods are decided: distortion, then what it hardly sees.
_DECISIVE = ("psnr", "ssim", "mae", "hfen", "spectral_high", "crps")
_CALIBRATION = ("spread_skill", "coverage_50", "coverage_80", "coverage_90")
_COVERED = (
    "Voxels whose truth lies in the central interval of the samples against the interval's level, "
    "and the samples' spread over the error of their mean: on the line and at 1 a method is as "
    "sure as it may be, below too sure. Mean over subjects of their means over tracers, with "
    "interval."
)
_FOREST = (
    "Hodges-Lehmann estimate with interval of each method's difference, over subjects; grey band: "
    "the margin that does not matter. Filled where the corrected tests decide. Of a metric with a "
    "right value it is the difference of the distances from it."
)
#: What table and figure of ranks say of themselves.
OF_THESE_TRAININGS = (
    "Ranks place what was trained here; how far other trainings would differ, the decisions tell"
)
_DECISIONS = "relad.results.tables.decisions:decisions_table"
_REGIONS = "Regional SUVR by method"
_REGIONS_CAPTION = (
    "Above: bias of the mean SUVR in % of the real one, mean over subjects; cells beyond the ends "
    "of the colour bar keep their number. Below: Pearson's r over subjects; a dash in grey where "
    "there is none: fewer than three subjects, or one image for everybody. Regions of the atlas, "
    "then their unions."
)
_BLAND_ALTMAN = "Synthetic minus real SUVR of every subject"
_BLAND_ALTMAN_CAPTION = (
    "Against the mean of both, in the region at the top. Line: bias; dashed: limits of agreement, "
    "bias -/+ 1.96 SD of the differences. A method that gives everybody the same falls along a "
    "line of slope -2."
)
_EXTERNAL = " in cohorts that no method was trained on"
_SAMPLERS = "Quality against network evaluations"

RESULTS = (
    Result(
        TABLE,
        "main",
        "relad.results.tables.accuracy:main_table",
        "Main comparison",
        metrics=_COMPARABLE,
        needs=("metrics", CEILING),
    ),
    Result(
        TABLE,
        "external",
        _ACCURACY,
        "External cohorts, never trained on",
        role="external",
        metrics=_COMPARABLE,
        needs=("metrics", CEILING),
    ),
    Result(
        TABLE,
        "ablation",
        _ACCURACY,
        "Ablations, each against its full method (first of its group)",
        group="ablation",
    ),
    Result(
        TABLE,
        "fidelity",
        _ACCURACY,
        "Fidelity of each image, and of one sample where the image is a mean",
        metrics=_FIDELITY,
        single_samples=True,
    ),
    Result(
        TABLE,
        "fidelity_ablation",
        _ACCURACY,
        "Fidelity of ablations, each against its full method (first of its group)",
        group="ablation",
        metrics=_FIDELITY,
        single_samples=True,
    ),
    Result(
        TABLE,
        "decisions",
        _DECISIONS,
        "What the subjects decide",
        metrics=_DECISIVE,
    ),
    Result(
        TABLE,
        "decisions_external",
        _DECISIONS,
        "What the subjects decide" + _EXTERNAL,
        role="external",
        metrics=_DECISIVE,
    ),
    Result(
        TABLE,
        "decisions_ablation",
        _DECISIONS,
        "What the subjects decide of ablations, each against its full method",
        group="ablation",
        metrics=_DECISIVE,
    ),
    Result(
        TABLE,
        "ranks",
        "relad.results.tables.ranks:ranks_table",
        "How firmly the subjects place each method",
        metrics=_DECISIVE,
    ),
    Result(
        TABLE,
        "spectrum",
        _ACCURACY,
        "Power by spatial frequency",
        metrics=("spectral_low", "spectral_middle", "spectral_high"),
        single_samples=True,
        of_all=False,
    ),
    Result(
        TABLE,
        "calibration",
        _ACCURACY,
        "Calibration of the samples' spread",
        metrics=("crps", *_CALIBRATION),
        of_samples=True,
    ),
    Result(
        TABLE,
        "calibration_external",
        _ACCURACY,
        "Calibration of the samples' spread" + _EXTERNAL,
        role="external",
        metrics=("crps", *_CALIBRATION),
        of_samples=True,
    ),
    Result(
        TABLE,
        "regions",
        "relad.results.tables.regions:regions_table",
        "Regional SUVR of synthetic against real PET",
        role=None,
        metrics=("suvr", "suvr_true"),
    ),
    Result(
        TABLE,
        "downstream",
        "relad.results.tables.downstream:downstream_table",
        "Who is positive, told from synthetic PET",
        role=None,
        metrics=("suvr", "suvr_true"),
        needs=("metrics", "packed"),
    ),
    Result(
        TABLE,
        "positivity",
        "relad.results.tables.positivity:positivity_table",
        "Errors of positive and of negative people apart",
        role=None,
        metrics=("psnr", "mae", "suvr", "suvr_true"),
    ),
    Result(
        TABLE,
        "runtime",
        "relad.results.tables.runtime:runtime_table",
        "Cost of every method, written by its own runs",
        needs=("models", "synthesized"),
    ),
    Result(
        TABLE,
        "samplers",
        "relad.results.tables.samplers:sampler_table",
        _SAMPLERS,
        group=None,
        metrics=("psnr", "ssim", *_FIDELITY[1:]),
        of_all=False,
    ),
    Result(
        FIGURE,
        "panels",
        "relad.results.figures.panels:draw",
        "One subject's images",
        _PANELS,
        needs=("metrics", "synthesized", "packed"),
    ),
    Result(
        FIGURE,
        "panels_external",
        "relad.results.figures.panels:draw",
        "One subject's images" + _EXTERNAL,
        _PANELS,
        role="external",
        needs=("metrics", "synthesized", "packed"),
    ),
    Result(
        FIGURE,
        "distributions",
        "relad.results.figures.distributions:draw",
        "Every subject's values",
        _DISTRIBUTIONS,
        needs=("metrics", CEILING),
    ),
    Result(
        FIGURE,
        "distributions_external",
        "relad.results.figures.distributions:draw",
        "Every subject's values" + _EXTERNAL,
        _DISTRIBUTIONS,
        role="external",
        needs=("metrics", CEILING),
    ),
    Result(
        FIGURE,
        "fidelity",
        "relad.results.figures.distributions:draw",
        _SHARPNESS,
        "HFEN, spectral power and CRPS of every subject inside the brain mask (points), with "
        "median and quartiles (box) and whiskers to 1.5 interquartile ranges. Of a method with one "
        "image the CRPS is its MAE.",
        metrics=_DETAIL,
    ),
    Result(
        FIGURE,
        "ablation",
        "relad.results.figures.ablation:draw",
        "What each ablation changes",
        _DIFFERENCES.format("the full method"),
        group="ablation",
    ),
    Result(
        FIGURE,
        "fidelity_ablation",
        "relad.results.figures.ablation:draw",
        _SHARPNESS + ": what each ablation changes",
        _DIFFERENCES.format("the full method"),
        group="ablation",
        metrics=_DETAIL,
    ),
    Result(
        FIGURE,
        "decisions",
        "relad.results.figures.forest:draw",
        "What the subjects decide",
        _FOREST,
        metrics=_DECISIVE,
    ),
    Result(
        FIGURE,
        "decisions_external",
        "relad.results.figures.forest:draw",
        "What the subjects decide" + _EXTERNAL,
        _FOREST,
        role="external",
        metrics=_DECISIVE,
    ),
    Result(
        FIGURE,
        "decisions_ablation",
        "relad.results.figures.forest:draw",
        "What the subjects decide of ablations",
        _FOREST,
        group="ablation",
        metrics=_DECISIVE,
    ),
    Result(
        FIGURE,
        "ranks",
        "relad.results.figures.ranks:draw",
        "How firmly the subjects place each method",
        "Ranks over resamples of the subjects; a blob's area is the share of resamples in which "
        f"the method has the rank (Wiesenfarth et al. 2021). {OF_THESE_TRAININGS}.",
        metrics=_DECISIVE,
    ),
    Result(
        FIGURE,
        "plane",
        "relad.results.figures.plane:draw",
        "Error against blur",
        "Every method and sampling in the plane of distortion and perception (Blau & Michaeli "
        "2018): of samples that were drawn as the truth is, the mean would have the least error "
        "and be blurred, and each one (open marker, joined to its mean) the truth's detail and "
        "twice the squared error. Mean over subjects of their means over tracers, with intervals.",
        metrics=("mae", "spectral_high"),
        single_samples=True,
    ),
    Result(
        FIGURE,
        "calibration",
        "relad.results.figures.calibration:draw",
        "Calibration of the samples' spread",
        _COVERED,
        metrics=_CALIBRATION,
        of_samples=True,
    ),
    Result(
        FIGURE,
        "calibration_external",
        "relad.results.figures.calibration:draw",
        "Calibration of the samples' spread" + _EXTERNAL,
        _COVERED,
        role="external",
        metrics=_CALIBRATION,
        of_samples=True,
    ),
    Result(
        FIGURE,
        "regions",
        "relad.results.figures.regions:draw",
        _REGIONS,
        _REGIONS_CAPTION,
        metrics=("suvr", "suvr_true"),
    ),
    Result(
        FIGURE,
        "regions_external",
        "relad.results.figures.regions:draw",
        _REGIONS + _EXTERNAL,
        _REGIONS_CAPTION,
        role="external",
        metrics=("suvr", "suvr_true"),
    ),
    Result(
        FIGURE,
        "bland_altman",
        "relad.results.figures.bland_altman:draw",
        _BLAND_ALTMAN,
        _BLAND_ALTMAN_CAPTION,
        metrics=("suvr", "suvr_true"),
    ),
    Result(
        FIGURE,
        "bland_altman_external",
        "relad.results.figures.bland_altman:draw",
        _BLAND_ALTMAN + _EXTERNAL,
        _BLAND_ALTMAN_CAPTION,
        role="external",
        metrics=("suvr", "suvr_true"),
    ),
    Result(
        FIGURE,
        "training_curves",
        "relad.results.figures.training_curves:draw",
        "Training losses against updates and against wall-clock time",
        "Each point is a mean over a hundredth of the training. Losses of one name are not one "
        "quantity in all methods: a diffusion method's L1 is taken at a random noise level.",
        needs=("models",),
    ),
    Result(
        FIGURE,
        "runtime",
        "relad.results.figures.runtime:draw",
        "Quality against evaluations, time per synthesised volume and training time",
        "PSNR is a mean over tracers, then over held-out subjects, with interval. Times "
        "below 0.001 s are drawn there. Dashed: the frontier, whose methods none is both cheaper "
        "and better than. Times are measured and vary from run to run.",
        needs=("metrics", "models", "synthesized"),
    ),
    Result(
        FIGURE,
        "samplers",
        "relad.results.figures.samplers:draw",
        _SAMPLERS,
        "One trained model per method, sampled in several ways: a curve for each sampler over its "
        "steps, and one for each number of steps over the samples whose mean is taken. Mean over "
        "held-out subjects of their means over tracers, with interval.",
        group=None,
        of_all=False,
    ),
)

#: Groups of methods that have results of their own above.
GROUPS = ("main", "ablation")

#: Titles of groups of methods; that of another group is its name.
_GROUP_TITLES = {
    "preconditioning": "What the network predicts and what it is given",
    "adversary": "The adversary at different strengths",
    "presets": "The method as we set it, as its paper sets it, and as its release has it",
    "release_ladder": "The published release, and one error less on every row",
}


def names() -> set[str]:
    """Names that no group of a study may have: those of the results above."""
    return {result.name for result in RESULTS}.difference(GROUPS)


def own_groups(of_methods: Iterable[Iterable[str]]) -> list[str]:
    """Of every method's groups those beside :data:`GROUPS`: each has a table and a figure."""
    named = dict.fromkeys(group for groups in of_methods for group in groups)
    return [group for group in named if group not in GROUPS]


def of_study(kind: str, methods: Mapping[str, ComparedMethod]) -> dict[str, Result]:
    """Tables or figures of a study by name: those above, and one of each of its groups."""
    found = {result.name: result for result in RESULTS if result.kind == kind}
    for group in own_groups(entry.groups for entry in methods.values()):
        title = _GROUP_TITLES.get(group, group.replace("_", " "))
        shared = {"name": group, "group": group, "title": title, "of_all": False}
        shared["metrics"] = (*found["ablation"].metrics, *_SHARP)
        if kind == FIGURE:
            shared["caption"] = _DIFFERENCES.format("the first method")
        found[group] = replace(found["ablation"], **shared)
    return found


def listing(kind: str) -> str:
    """Tables or figures for the help of their step."""
    told = [(result.name, result.title, result.of_all) for result in RESULTS if result.kind == kind]
    told.append(("GROUP", "methods of a further group of the study, such as release_ladder", False))
    width = max(len(name) for name, _, _ in told)

    def lines(of_all: bool) -> list[str]:
        return [f"  {name:<{width}}  {title}" for name, title, each in told if each == of_all]

    by_name = ["", "and with --only, by name:", "", *lines(False)]
    return "\n".join([f"{kind}s:", "", *lines(True), *by_name])


class Caption(str):
    """Caption of a table or figure, by the path of the form that begins with it.

    A parameter of a rule, which a report's template sees and reads. The file was written with the
    result, so that it says of the data what they said of themselves.
    """

    __slots__ = ()

    def read(self) -> str:
        """What stands above the rows: a warning, if there is one, and the caption."""
        return Path(self).read_text(encoding="utf-8").partition("\n|")[0].strip()
