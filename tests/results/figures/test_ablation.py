"""Figure of paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from relad.results.figures import ablation
from relad.results.metrics import METRICS
from relad.results.statistics import mean_interval
from tests.helpers.fake_study import FakeStudy, entry, make_settings, score, scores_of

ABLATION = entry("figure", "ablation")


def differences(study, tracer: str, metric: str) -> np.ndarray:
    full, ablated = (
        of[of["tracer"] == tracer].set_index("subject")[metric]
        for of in (study.values(ABLATION, [m]) for m in ("rela", "rela-no-t1w"))
    )
    return (ablated - full).to_numpy()


@pytest.mark.parametrize(("k", "metric"), list(enumerate(ABLATION.metrics)))
def test_points_are_paired_differences_with_mean_and_interval(study, k, metric):
    ax = ablation.draw(study, ABLATION).axes[k]
    for place, tracer in enumerate(("tau", "amyloid")):
        paired = differences(study, tracer, metric)
        shown = np.asarray(ax.collections[place].get_offsets())[:, 0]
        np.testing.assert_allclose(shown, paired)
        height = np.asarray(ax.collections[place].get_offsets())[:, 1].mean()
        drawn = [
            np.asarray(line.get_xdata(), dtype=float)
            for line in ax.lines
            if abs(np.mean(line.get_ydata()) - height) < 0.2  # beside its tracer's points
        ]
        interval = mean_interval(paired, level=0.95)
        assert any(len(x) == 1 and np.allclose(x, paired.mean()) for x in drawn)
        assert any(len(x) == 2 and np.allclose(x, interval) for x in drawn)


def test_the_title_names_the_base_and_lines_their_method(study):
    figure = ablation.draw(study, ABLATION)
    assert figure.axes[0].get_title(loc="left").startswith("Difference to RelA-Diffusion in each")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["w/o T1w"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["tau (AV1451)", "amyloid (AV45)", "one subject"]


def test_who_comes_nearer_to_a_right_value_is_drawn_as_better(tmp_path):
    """-3 dB of the base and -0.2 of the ablation are 2.8 dB less off, not 2.8 more."""
    fidelity = entry("figure", "fidelity_ablation")
    rows = [
        score(method=method, subject=f"p{k}", metric=metric, value=value + 0.1 * k)
        for method, of in (("rela", -3.0), ("rela-no-t1w", -0.2))
        for metric in fidelity.metrics
        for value in (of if METRICS[metric].better.target == 0 else 0.5,)
        for k in range(2)
    ]
    figure = ablation.draw(scores_of(tmp_path, *rows), fidelity)
    ax = figure.axes[fidelity.metrics.index("spectral_high")]
    assert ax.get_xlabel().endswith("\n← lower is better")
    shown = np.asarray(ax.collections[0].get_offsets())[:, 0]
    np.testing.assert_allclose(sorted(shown), [-2.8, -2.8])
    assert figure.axes[0].get_title(loc="left").endswith("\nstudy, n = 2")


def test_a_group_is_drawn_against_its_first_method(tmp_path):
    settings = make_settings()
    for name in ("rela", "unet", "template"):
        settings["methods"][name]["groups"] = ["my_group"]
    fake = FakeStudy(tmp_path, subjects=4, settings=settings)
    fake.evaluate_all()
    figure = ablation.draw(fake.read(), entry("figure", "my_group", settings))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["U-Net (L1)", "Mean template"]
    assert "RelA-Diffusion" in figure.axes[0].get_title(loc="left")


def test_lines_of_several_bases_name_them(tmp_path):
    settings = make_settings()
    other = {**settings["methods"]["rela-no-t1w"], "ablates": "unet", "label": "w/o FLAIR"}
    settings["methods"]["unet-no-flair"] = other
    errors = {"rela": 0.1, "unet": 0.2, "rela-no-t1w": 0.3, "unet-no-flair": 0.3}
    fake = FakeStudy(tmp_path, subjects=4, settings=settings, errors=errors)
    fake.evaluate_all()
    figure = ablation.draw(fake.read(), entry("figure", "ablation", settings))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["RelA-Diffusion\nw/o T1w", "U-Net (L1)\nw/o FLAIR"]


@pytest.mark.parametrize("lacking", ["rela", "rela-no-t1w"])
def test_without_a_pair_nothing_is_drawn(study, lacking):
    study.scores = study.scores[study.scores["method"] != lacking]
    assert ablation.draw(study, ABLATION) is None
