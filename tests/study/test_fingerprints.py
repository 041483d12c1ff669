from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.study.fingerprints import sources
from relad.study.paths import REPOSITORY


def names(*modules: str) -> set[str]:
    return {file.relative_to(REPOSITORY).as_posix() for file in sources(*modules)}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """``relad.a`` imports ``relad.sub.b`` in a function, which imports its neighbour ``c``."""
    files = {
        "relad/__init__.py": "",
        "relad/study/config.py": "",
        "relad/a.py": "import numpy\nfrom relad import config\ndef f():\n    import relad.sub.b\n",
        "relad/sub/__init__.py": "",
        "relad/sub/b.py": "from . import c\nfrom .c import value\n",
        "relad/sub/c.py": "value = 1\n",
        "relad/other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_follows_imports_everywhere_and_leaves_plumbing_out(package: Path) -> None:
    found = sources("relad.a", root=package)
    assert [file.relative_to(package).as_posix() for file in found] == [
        "relad/a.py",
        "relad/sub/__init__.py",
        "relad/sub/b.py",
        "relad/sub/c.py",
    ]


def test_missing_module_is_named(package: Path) -> None:
    with pytest.raises(ReladError, match=r"there is no module relad\.none"):
        sources("relad.none", root=package)


def test_other_distributions_are_passed_over() -> None:
    assert sources("somebody.elses.method") == ()


def test_a_baseline_does_not_hang_on_another() -> None:
    assert "baselines/unet.py" not in names("baselines.pix2pix")
    assert "relad/methods/networks/blocks.py" in names("baselines.pix2pix")


def test_no_plot_is_part_of_training() -> None:
    assert not {name for name in names("relad.training") if "figures" in name or "tables" in name}
