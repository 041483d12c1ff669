"""Entries of methods that installed packages bring: what is accepted, what is refused and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relad.errors import ReladError
from relad.study import config, plugins


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def bring(site: Path, package: str, points: dict[str, str], entries: str | None = None) -> None:
    """Install a package of one empty module, as pip would leave it."""
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{lines}")
    (site / package).mkdir()
    (site / package / "__init__.py").write_text("raise ImportError('planning imports nothing')\n")
    if entries is not None:
        (site / package / plugins.ENTRIES).write_text(entries)


def resolved(*names: str, **sections: Any) -> dict[str, Any]:
    raw = config.read_yaml(config.DEFAULT)
    return config.resolve({**raw, "plugins": list(names), **sections}, file="study.yaml")


def test_an_entry_point_alone_is_an_entry(site: Path) -> None:
    bring(site, "mine", {"my-gan": "mine:GAN", "other": "mine.other:Other"})
    methods = resolved("my-gan")["methods"]
    expected = {
        "class": "mine:GAN",
        "label": "my-gan",
        "family": "other",
        "inputs": ["T1w", "FLAIR"],
        "params": {},
        "sampling": {},
        "groups": ["main"],
        "updates": None,
        "ablates": None,
    }
    assert {key: methods["my-gan"][key] for key in expected} == expected
    assert "other" not in methods
    assert list(methods).index("template") < list(methods).index("my-gan")
    assert list(methods).index("my-gan") < list(methods).index("rela-no-t1w")


def test_a_package_says_what_of_its_entry_is_not_the_default(site: Path) -> None:
    bring(site, "mine", {"my-gan": "mine:GAN"}, "my-gan: {label: Mine, family: gan}")
    entry = resolved("my-gan")["methods"]["my-gan"]
    assert (entry["label"], entry["family"], entry["class"]) == ("Mine", "gan", "mine:GAN")


def test_weights_of_whatever_is_sampled_are_chosen_by_its_sampling(site: Path) -> None:
    """Whatever its family, or none, which only sorts figures."""
    sampled = "{sampling: {sampler: ddim, steps: 25, samples: 8}}"
    bring(site, "mine", {"my-flow": "mine:Flow", "my-net": "mine:Net"}, f"my-flow: {sampled}")
    methods = resolved("my-flow", "my-net")["methods"]
    steps = resolved()["training"]["validation"]["steps"]
    assert methods["my-flow"]["family"] == "other"
    assert methods["my-flow"]["validated_by"] == f"ddim-{min(25, steps)}"
    assert methods["my-net"]["validated_by"] is None


def test_a_method_of_a_package_can_be_ablated(site: Path, tmp_path: Path) -> None:
    bring(site, "mine", {"my-gan": "mine:GAN"})
    (tmp_path / "ablations.yaml").write_text("mine-no-t1w: {base: my-gan, inputs: [FLAIR]}")
    training = {**config.read_yaml(config.DEFAULT)["training"], "group_updates": {}}
    ablations = str(tmp_path / "ablations.yaml")
    methods = resolved("my-gan", ablations=ablations, training=training)["methods"]
    assert methods["mine-no-t1w"]["class"] == "mine:GAN"


@pytest.mark.parametrize(
    ("points", "entries", "said"),
    [
        ({"my-gan": "mine"}, None, r"^entry point of mine 1\.2: at my-gan\.class: 'mine' does not"),
        ({"My-GAN": "mine:GAN"}, None, r"^entry point of mine 1\.2: .*'My-GAN' does not match"),
        (
            {"my-gan": "mine:GAN"},
            "my-gan: {kind: gan}",
            r"methods\.yaml: unknown key 'kind' at my-gan",
        ),
        (
            {"my-gan": "mine:GAN"},
            "my-gan: {class: 'mine:Other'}",
            r"methods\.yaml: the entry of 'my-gan' names a class -- the entry point does that",
        ),
        (
            {"my-gan": "mine:GAN"},
            "my-gna: {label: Mine}",
            r"methods\.yaml: 'my-gna' is no method of this package -- .*name: my-gan$",
        ),
        ({"my-gan": "mine:GAN"}, "label: Mine", r"methods\.yaml: 'label' is no method of this"),
        ({"my-gan": "mine:GAN"}, "[my-gan]", r"methods\.yaml: a list is no method of this package"),
        ({"my-gan": "mine:GAN"}, "my-gan: [1]", r"methods\.yaml: my-gan: \[1\] is no entry"),
        ({"unet": "mine:GAN"}, None, r"plugins names 'unet', which is a method of .*methods\.yaml"),
    ],
)
def test_a_wrong_entry_is_refused(
    site: Path, points: dict[str, str], entries: str | None, said: str
) -> None:
    bring(site, "mine", points, entries)
    with pytest.raises(ReladError, match=said):
        resolved(*points)


@pytest.mark.parametrize("entries", ["my-gan:", "my-vit: {label: Mine}", ""])
def test_a_method_needs_no_entry_where_the_file_has_none_for_it(site: Path, entries: str) -> None:
    bring(site, "mine", {"my-gan": "mine:GAN", "my-vit": "mine.vit:ViT"}, entries)
    assert resolved("my-gan")["methods"]["my-gan"]["label"] == "my-gan"


def test_a_method_of_two_packages_is_refused(site: Path) -> None:
    for package in ("mine", "theirs"):
        bring(site, package, {"my-gan": f"{package}:GAN"})
    with pytest.raises(ReladError, match=r"several packages bring .*'my-gan': mine 1\.2, theirs 1"):
        resolved("my-gan")


def test_a_file_beside_the_modules_of_everybody_is_nobody_s(site: Path) -> None:
    bring(site, "mine", {"my-gan": "lone:GAN"})
    (site / "lone.py").touch()
    (site / plugins.ENTRIES).write_text("my-gan: {label: Not mine}")
    assert resolved("my-gan")["methods"]["my-gan"]["label"] == "my-gan"


def test_a_class_is_traced_to_its_package(site: Path) -> None:
    bring(site, "mine", {"my-gan": "mine.gan:GAN"})
    assert plugins.distributions("mine.other:Other") == ["mine"]
    assert plugins.distributions("baselines.unet:RegressionUNet") == []
