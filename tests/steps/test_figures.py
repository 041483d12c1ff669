"""``relad figures``: every figure is drawn, the same on every run, with its caption."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from relad.study.catalogue import FIGURE
from tests.helpers.fake_study import FakeStudy
from tests.helpers.small_study import of_all

SUFFIXES = ("png", "pdf", "txt", "figure.json")
NAMES = of_all(FIGURE, samples=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    study = FakeStudy(tmp_path_factory.mktemp("figures"), subjects=6)
    study.evaluate_all()
    return study


@pytest.fixture(scope="module")
def figures(study: FakeStudy) -> Path:
    assert study.summarize("figures", study.root / "out") == 0
    return study.root / "out"


def test_all_figures_are_written(figures: Path):
    names = {f"{name}.{suffix}" for name in NAMES for suffix in SUFFIXES}
    assert {file.name for file in figures.iterdir()} == names
    for file in figures.glob("*.png"):
        image = plt.imread(file)
        assert image.shape[1] == 2160  # 7.2 in at 300 dpi
        assert image[..., :3].std() > 0.02  # not an empty page


@pytest.mark.parametrize("name", ["panels", "distributions", "ablation"])
def test_a_figure_has_the_same_bytes_alone_and_among_others(study, figures, tmp_path, name):
    assert study.summarize("figures", tmp_path, "--only", name) == 0
    for suffix in ("png", "pdf", "txt"):
        first, second = (folder / f"{name}.{suffix}" for folder in (figures, tmp_path))
        assert first.read_bytes() == second.read_bytes()


def test_the_caption_lies_beside_the_figure(figures: Path):
    assert (
        (figures / "panels_external.txt")
        .read_text()
        .startswith(
            "**SIMULATED DATA (digital phantoms, no patients)**\n\n"
            "One subject's images in cohorts that no method was trained on. MRI, true PET"
        )
    )


def test_figures_are_closed_and_settings_of_drawing_restored(study, tmp_path):
    before = plt.rcParams["font.size"]
    study.summarize("figures", tmp_path, "--only", "runtime")
    assert not plt.get_fignums()
    assert plt.rcParams["font.size"] == before
