"""Figure of losses."""

from __future__ import annotations

import pytest

from relad.errors import ReladError
from relad.results.figures import training_curves
from tests.helpers.fake_study import entry

CURVES = entry("figure", "training_curves")


def test_there_is_a_row_per_loss_and_what_was_not_logged_is_skipped(study):
    figure = training_curves.draw(study, CURVES)
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == ["denoising loss", "l1 loss", "adversarial loss"]
    adversarial = figure.axes[4].get_lines()
    assert len(adversarial) == 1  # the U-Net has none, the ablation is left out
    assert min(adversarial[0].get_xdata()) == 105  # after the warm-up
    assert len(figure.axes[2].get_lines()) == 2  # RelA and U-Net; the template is no training


def test_positive_losses_are_drawn_on_a_logarithmic_axis(study):
    figure = training_curves.draw(study, CURVES)
    assert {ax.get_yscale() for ax in figure.axes} == {"log"}


def test_a_validation_psnr_is_no_loss(study, tmp_path):
    log = "update,seconds,validation_psnr\n1,1,20\n2,2,\n3,3,22\n"
    (model,) = [model for model in study.models if model.method == "unet"]
    (tmp_path / "log.csv").write_text(log)
    study.models = [type(model)(**{**vars(model), "folder": tmp_path})]
    figure = training_curves.draw(study, CURVES)
    assert figure.axes[0].get_ylabel() == "validation PSNR (dB)"
    assert figure.axes[0].get_yscale() == "linear"
    assert list(figure.axes[1].get_lines()[0].get_xdata()) == [1, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [("update,loss\n1,2\n", "lacks the columns seconds"), ("update,seconds\n1,soon\n", "not a tr")],
)
def test_a_log_of_something_else_is_refused(tmp_path, text, told):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ReladError, match=rf"log\.csv: {told}"):
        training_curves.read_log(tmp_path / "log.csv")
    with pytest.raises(ReladError, match="no such table"):
        training_curves.read_log(tmp_path / "none.csv")


def test_without_models_nothing_is_drawn(study):
    study.models = []
    assert training_curves.draw(study, CURVES) is None
