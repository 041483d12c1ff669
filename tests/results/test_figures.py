"""``relad figures``: every figure is drawn, the same on every run, and shows what it says."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from relad.cli import main
from relad.data.dataset import PackedDataset
from relad.results.figures import (
    ablation,
    distributions,
    panels,
    runtime,
    samplers,
    training_curves,
)
from relad.results.figures.study import Study
from relad.results.figures.style import RC, method_colours
from relad.results.scores import read_sampler_scores, read_scores
from relad.steps.figures import FIGURES
from tests.helpers.fake_study import ERROR, FakeStudy, make_settings


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    fake = FakeStudy(tmp_path_factory.mktemp("figures"), subjects=6)
    fake.evaluate_all()
    return fake


@pytest.fixture
def study(fake: FakeStudy):
    runs = [(cohort, method) for cohort in fake.settings["cohorts"] for method in ERROR]
    with mpl.rc_context(RC):
        yield Study(
            settings=fake.settings,
            scores=read_scores([fake.metrics(*run) for run in runs], fake.settings),
            models=[fake.model(method) for method in ERROR],
            synthesized=[fake.synthesized(*run) for run in runs],
            packed={c: PackedDataset(fake.packed(c)) for c in fake.settings["cohorts"]},
        )
    plt.close("all")


def stamped(figure) -> bool:
    title = figure._suptitle
    return title is not None and "SIMULATED DATA" in title.get_text()


def test_all_figures_are_written(fake: FakeStudy):
    assert fake.summarize("figures", fake.root / "out") == 0
    names = {f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "pdf")}
    assert {file.name for file in (fake.root / "out").iterdir()} == names
    for file in (fake.root / "out").glob("*.png"):
        image = plt.imread(file)
        assert image.shape[1] == 2160  # 7.2 in at 300 dpi
        assert image[..., :3].std() > 0.02  # not an empty page


@pytest.mark.parametrize("name", ["panels", "distributions"])
def test_same_input_same_bytes(fake: FakeStudy, tmp_path: Path, name: str):
    for run in ("first", "second"):
        assert fake.summarize("figures", tmp_path / run, "--only", name) == 0
    for suffix in ("png", "pdf"):
        first, second = (tmp_path / run / f"{name}.{suffix}" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "draw",
    [
        lambda study: panels.draw(study, "external"),
        lambda study: distributions.draw(study, "train"),
        ablation.draw,
        training_curves.draw,
        runtime.draw,
    ],
)
def test_simulated_data_says_so_and_real_data_does_not(study, draw):
    assert stamped(draw(study))
    study.settings = make_settings(source="loni")
    assert not stamped(draw(study))


def images_of(figure) -> list[list[np.ndarray | None]]:
    """Images of the figure's axes, row by row, in the panels' grid."""
    grid = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    rows: dict[int, list] = {}
    for ax in grid:
        spec = ax.get_subplotspec()
        if spec.get_gridspec().ncols < 4:
            continue  # a colour bar
        shown = ax.get_images()
        rows.setdefault(spec.rowspan.start, []).append(shown[0] if shown else None)
    return [rows[k] for k in sorted(rows)]


def test_panels_show_left_on_the_left_and_anterior_up(study, fake):
    dataset = study.packed["study"]
    # Mark one subject's voxels: value rises to the right in T1w, to the front in FLAIR.
    x, y, _ = np.indices(fake.shape)
    mri = np.array(dataset.mri)
    mri[:, 0], mri[:, 1] = x / x.max(), y / y.max()
    dataset.mri = mri
    upper = images_of(panels.draw(study, "train"))[0]
    right = np.asarray(upper[0].get_array())
    front = np.asarray(upper[1].get_array())
    # Rows of an image are drawn upwards from the origin.
    assert upper[0].origin == upper[1].origin == "lower"
    assert (np.diff(right, axis=1) > 0).all()
    assert (np.diff(front, axis=0) > 0).all()


def test_panels_turn_a_grid_that_runs_to_the_left(study, fake):
    expected = np.asarray(images_of(panels.draw(study, "train"))[0][2].get_array())
    for dataset in study.packed.values():
        flip = np.diag([-1.0, 1, 1, 1])
        flip[0, 3] = fake.shape[0] - 1
        dataset.affine = dataset.affine @ flip
        for name in ("mri", "pet", "mask"):
            setattr(dataset, name, np.array(getattr(dataset, name))[..., ::-1, :, :])
    shown = np.asarray(images_of(panels.draw(study, "train"))[0][2].get_array())
    np.testing.assert_array_equal(shown, expected)


def test_panels_of_a_row_share_one_range_and_the_difference_is_synthetic_minus_real(study):
    upper, lower = images_of(panels.draw(study, "train"))[:2]
    real, *synthetic = upper[2:]
    assert {image.get_clim() for image in upper[2:]} == {real.get_clim()}
    errors = lower[3:]
    assert len({image.get_clim() for image in errors}) == 1
    assert errors[0].get_clim()[0] == -errors[0].get_clim()[1]
    difference = np.ma.masked_invalid(errors[0].get_array())
    expected = np.asarray(synthetic[0].get_array()) - np.asarray(real.get_array())
    assert np.ma.allclose(difference, expected, atol=1e-6)
    # The largest error was put into the template.
    assert np.nanstd(errors[2].get_array()) > np.nanstd(errors[0].get_array())


def test_panels_show_the_median_subject(study):
    subject = panels._median_subject(study, "study", "tau", panels._folders(study, "study"))
    main = [m for m in ERROR if m != "rela-no-t1w"]
    tables = [study.scores["study", "tau", m, "psnr"] for m in main]
    means = {s: np.mean([t[s] for t in tables]) for s in tables[0]}
    assert sorted(means.values()).index(means[subject]) == 1  # of three


def test_panels_leave_out_ablations(study):
    titles = [ax.get_title() for ax in panels.draw(study, "train").axes]
    assert "Mean template" in titles
    assert not any("T1w" in t and "w/o" in t for t in titles)


def test_distributions_show_every_subject(study):
    figure = distributions.draw(study, "train")
    points = figure.axes[0].get_lines()
    shown = [line.get_xdata() for line in points if line.get_marker() == "o"]
    expected = [list(study.scores["study", "tau", m, "psnr"].values()) for m in method_names(study)]
    np.testing.assert_allclose(shown, expected)


def method_names(study: Study) -> list[str]:
    return [m for m, e in study.settings["methods"].items() if e["ablates"] is None]


def test_ablation_shows_paired_differences(study):
    figure = ablation.draw(study)
    means = [line for line in figure.axes[0].get_lines() if line.get_marker() in ("o", "s")]
    full, ablated = (study.scores["study", "tau", m, "psnr"] for m in ("rela", "rela-no-t1w"))
    paired = [ablated[s] - full[s] for s in sorted(full)]
    np.testing.assert_allclose(means[0].get_xdata(), paired)
    np.testing.assert_allclose(means[1].get_xdata(), np.mean(paired))


def test_training_curves_have_a_row_per_loss_and_skip_what_was_not_logged(study):
    figure = training_curves.draw(study)
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == ["denoising loss", "l1 loss", "adversarial loss"]
    adversarial = figure.axes[4].get_lines()
    assert len(adversarial) == 1  # the U-Net has none, the ablation is left out
    assert min(adversarial[0].get_xdata()) == 105  # after the warm-up
    assert len(figure.axes[2].get_lines()) == 2  # RelA and U-Net; the template is no training


def test_runtime_draws_a_time_below_the_clock_at_the_shortest(study):
    figure = runtime.draw(study)
    x = {line.get_color(): line.get_xdata()[0] for line in figure.axes[0].get_lines()}
    colours = method_colours(study.settings)
    assert x[colours["template"]] == runtime.SHORTEST_S
    assert x[colours["unet"]] == pytest.approx(0.1)


def test_a_method_keeps_its_colour_when_others_are_left_out():
    settings = make_settings()
    colours = method_colours(settings)
    assert len(set(colours.values())) == len(colours) == 3
    assert "rela-no-t1w" not in colours


def test_a_figure_without_data_is_an_error_when_asked_for(fake, tmp_path, capsys):
    settings = make_settings()
    del settings["cohorts"]["elsewhere"]
    small = FakeStudy(tmp_path, subjects=4, settings=settings, errors={"unet": 0.2})
    small.evaluate_all()
    capsys.readouterr()
    assert small.summarize("figures", tmp_path / "out", "--only", "panels_external") == 2
    error = capsys.readouterr().err
    assert "nothing was given for the figure 'panels_external'" in error
    assert error.count("\n") == 1


def test_samplers_show_every_sampling_and_one_curve_per_sampler(fake: FakeStudy, tmp_path: Path):
    files = fake.evaluate_samplings()
    study = Study(
        settings=fake.settings,
        scores={},
        sampler_scores=read_sampler_scores(files, fake.settings),
    )
    figure = samplers.draw(study)
    shown = {tuple(line.get_xdata()) for line in figure.axes[0].get_lines()}
    # ddim over its steps; K samples of ddim with ten steps; regression
    assert shown == {(2, 10), (10, 40), (1,)}
    assert stamped(figure)
    assert samplers.draw(Study(settings=fake.settings, scores={})) is None
    command = ["figures", *map(str, files), "--out", str(tmp_path), "--only", "samplers"]
    assert main([*command, "--settings", fake.settings_json]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"samplers.png", "samplers.pdf"}


def test_a_group_is_drawn_against_its_first_method(study: Study):
    study.settings = json.loads(json.dumps(study.settings))
    for name in ("rela", "unet", "template"):
        study.settings["methods"][name]["groups"] = ["my_group"]
    figure = ablation.draw(study, "my_group")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["U-Net (L1)", "Mean template"]
    assert "RelA-Diffusion" in figure.axes[0].get_title(loc="left")
