"""How figures look is said in one file."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from relad.results.figures import (
    ablation,
    distributions,
    panels,
    runtime,
    style,
    training_curves,
)
from relad.status import Kind
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import entry, make_settings

FILES = sorted(Path(style.__file__).parent.glob("[a-z]*.py"))
#: Keywords of matplotlib and seaborn that make a look.
LOOKS = {"alpha", "color", "cmap", "figsize", "fontsize", "fontweight", "linewidth", "linestyle"}
LOOKS |= {"marker", "markers", "markersize", "markeredgecolor", "markeredgewidth", "palette"}
LOOKS |= {"jitter", "ncols", "size", "pad", "width", "zorder"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_sizes_and_colours_stand_in_one_file(file: Path):
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    literal = [
        f"{keyword.arg}={ast.unparse(keyword.value)}, line {call.lineno}"
        for call in calls
        for keyword in call.keywords
        if keyword.arg in LOOKS
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value not in ("", "none")
    ]
    assert literal == [] or file.stem == "style"


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (panels.draw, "panels_external"),
        (distributions.draw, "distributions"),
        (ablation.draw, "ablation"),
        (training_curves.draw, "training_curves"),
        (runtime.draw, "runtime"),
    ],
)
def test_simulated_data_says_so_and_real_data_does_not(study, draw, name):
    result = entry("figure", name)
    assert "SIMULATED DATA" in draw(study, result).get_suptitle()
    study.scores["data"] = "real"
    study.models = [replace(model, kind=Kind.REAL) for model in study.models]
    for dataset in study.packed.values():
        dataset.kind = Kind.REAL
    assert draw(study, result).get_suptitle() == ""


@pytest.mark.parametrize(
    ("draw", "name"), [(panels.draw, "panels_external"), (distributions.draw, "distributions")]
)
def test_people_are_told_from_what_the_methods_learnt_from(study, draw, name):
    """Simulated models make simulated PET of real heads, and no phantoms of these."""
    kind = Kind.HYBRID_FROM_SIMULATED
    study.scores["data"] = str(kind)
    assert draw(study, entry("figure", name)).get_suptitle() == kind.note


def test_a_method_keeps_its_colour_when_others_are_left_out():
    colours = style.method_colours(typed(ResultSettings, make_settings()))
    assert list(colours) == ["rela", "unet", "template", "rela-no-t1w"]
    assert len(set(colours.values())) == 4
    fewer = make_settings()
    fewer["methods"]["unet"]["groups"] = ["another"]
    assert style.method_colours(typed(ResultSettings, fewer))["rela"] == colours["rela"]


def test_a_legend_has_as_many_columns_as_its_labels_allow():
    figure = style.new_figure(style.RUNTIME)
    style.legend(figure, {f"method {k}" + 20 * "x": {"color": "k"} for k in range(9)})
    (legend,) = figure.legends
    assert legend._ncols == 4


def test_a_legend_of_a_word_longer_than_its_line_has_one_column():
    figure = style.new_figure(style.RUNTIME)
    style.legend(figure, {200 * "x": {"color": "k"}, "short": {"color": "r"}})
    (legend,) = figure.legends
    assert legend._ncols == 1


@pytest.mark.parametrize(
    ("draw", "name"),
    [(panels.draw, "panels"), (distributions.draw, "fidelity"), (runtime.draw, "runtime")],
)
def test_no_text_lies_over_another_or_beyond_the_figure(study, draw, name, monkeypatch):
    """Names as long as a sampling in words, in figures with several columns."""
    long = "Subject-specific method, 25 ddim steps at temperature 1.25, mean of 8"
    monkeypatch.setattr(type(study), "label", lambda self, method: f"{method} {long}")
    with style.applied():
        figure = draw(study, entry("figure", name))
        figure.canvas.draw()
    whole = figure.bbox
    texts = [ax.title for ax in figure.axes] + [ax.xaxis.label for ax in figure.axes]
    texts += [ax.yaxis.label for ax in figure.axes]
    texts += [text for ax in figure.axes for text in ax.texts] if draw is panels.draw else []
    boxes = [t.get_window_extent() for t in texts if t.get_text()]
    assert len(boxes) > 2
    for k, box in enumerate(boxes):
        assert box.x0 >= whole.x0 and box.x1 <= whole.x1, "it is cut off"
        assert box.y0 >= whole.y0 and box.y1 <= whole.y1, "it is cut off"
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_a_name_too_long_for_its_column_is_turned():
    level = style.headers(["U-Net (L1)", "true PET"], 0.6)
    assert "rotation" not in level.look and level.texts[0] == "U-Net (L1)"
    turned = style.headers(["Subject-specific template", "true PET"], 0.4)
    assert turned.look["rotation"] == 90 and turned.height > 4 * level.height
    assert turned.texts[0].count("\n") < style.TURNED_LINES


def test_a_figure_is_laid_out_once_for_all_its_files(study, tmp_path, monkeypatch):
    laid_out, files = [], []
    execute, savefig = ConstrainedLayoutEngine.execute, Figure.savefig

    def executed(engine, figure):
        laid_out.append(figure)
        return execute(engine, figure)

    def saved(figure, file, **how):
        savefig(figure, file, **how)
        files.append([ax.get_position().bounds for ax in figure.axes])

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", executed)
    monkeypatch.setattr(Figure, "savefig", saved)
    figure = runtime.draw(study, entry("figure", "runtime"))
    style.save(figure, tmp_path / "runtime", "")
    png, pdf = files
    assert laid_out == [figure] and png == pdf


def test_what_is_constant_is_drawn_as_such(study):
    figure = training_curves.draw(study, entry("figure", "training_curves"))
    ax = figure.axes[0]
    ax.set_ylim(0.0909090, 0.0909091)
    training_curves._widen(ax)
    low, high = ax.get_ylim()
    assert high - low > 0.009 and low < 0.0909 < high
    ax.set_ylim(1.0, 2.0)
    training_curves._widen(ax)
    assert ax.get_ylim() == (1.0, 2.0)


@pytest.mark.parametrize(
    ("draw", "name"), [(runtime.draw, "runtime"), (training_curves.draw, "training_curves")]
)
def test_ticks_are_numbers(study, draw, name):
    """Markup of powers of ten would be printed as it stands."""
    figure = draw(study, entry("figure", name))
    figure.canvas.draw()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    labels = [t.get_text() for axis in axes for t in axis.get_ticklabels(which="both")]
    assert any(labels)
    for label in filter(None, labels):
        float(label.replace("\N{MINUS SIGN}", "-"))


def test_a_name_with_dollars_is_drawn_as_it_is(study, tmp_path, monkeypatch):
    monkeypatch.setattr(type(study), "label", lambda self, method: rf"{method} $\frac{{a}}$")
    figure = runtime.draw(study, entry("figure", "runtime"))
    assert style.save(figure, tmp_path / "runtime", "")[0].exists()
