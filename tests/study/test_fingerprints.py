from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.study import fingerprints
from relad.study.fingerprints import digest, sources
from relad.study.paths import REPOSITORY
from relad.study.subjects import source_module


def names(*modules: str) -> set[str]:
    return {file.relative_to(REPOSITORY).as_posix() for file in sources(*modules)}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """``relad.a`` imports ``relad.sub.b`` in a function, which imports its neighbour ``c``."""
    files = {
        "relad/__init__.py": "",
        "relad/study/config.py": "",
        "relad/a.py": "import numpy\n"
        "from relad.study import config\n"
        "def f():\n    import relad.sub.b\n",
        "relad/sub/__init__.py": "",
        "relad/sub/b.py": "from . import c\nfrom .c import value\n",
        "relad/sub/c.py": "value = 1\n",
        "relad/other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
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


EVERYWHERE = """
if 1:
    import m.a
elif 2:
    import m.b
else:
    import m.c
try:
    import m.d
except KeyError:
    import m.e
else:
    import m.f
finally:
    import m.g
for _ in x:
    with x:
        import m.h
while 0:
    pass
else:
    import m.i
match x:
    case 1:
        import m.j
class A:
    async def f(self):
        import m.k
"""


def test_follows_imports_in_every_statement(tmp_path: Path) -> None:
    (tmp_path / "relad").mkdir()
    for name in "abcdefghijk":
        (tmp_path / f"relad/{name}.py").touch()
    (tmp_path / "relad/all.py").write_text(EVERYWHERE.replace("m.", "relad."), encoding="utf-8")
    found = {file.stem for file in sources("relad.all", root=tmp_path)}
    assert found == {"all", *"abcdefghijk"}


def test_importing_a_module_runs_its_packages_too(package: Path) -> None:
    (package / "relad/sub/alone.py").touch()
    found = sources("relad.sub.alone", root=package)
    assert [file.relative_to(package / "relad").as_posix() for file in found] == [
        "sub/__init__.py",
        "sub/alone.py",
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
    found = names("relad.steps.train")
    assert "relad/training/loop.py" in found
    assert not {name for name in found if "figures" in name or "tables" in name}


def test_a_page_is_made_again_when_its_template_changes() -> None:
    assert "relad/qc/page.html.j2" in names("relad.steps.qc")


def test_images_are_measured_again_when_the_regions_kept_with_the_code_change() -> None:
    assert "relad/imaging/atlas.nii.gz" in names("relad.steps.evaluate")
    assert "relad/imaging/atlas.nii.gz" not in names("relad.steps.train")


def test_all_code_is_its_sources_and_the_images_it_reads(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "REPOSITORY", package)
    hashes = [fingerprints.whole_code.__wrapped__()]
    for name in ("relad/sub/c.py", "relad/sub/c.nii.gz", "relad/notes.txt"):
        (package / name).write_text("2", encoding="utf-8")
        hashes.append(fingerprints.whole_code.__wrapped__())
    assert len(set(hashes)) == 3 and hashes[2] == hashes[3]


def test_every_source_of_scans_is_part_of_its_own_ingest_alone() -> None:
    found = names("relad.steps.ingest", source_module("packed"))
    assert "relad/cohort/sources/packed.py" in found
    assert "relad/cohort/sources/packed.py" not in names("relad.steps.ingest")


def test_a_method_from_elsewhere_is_followed_to_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code once changed without a trace."""
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    code = "import json\nimport nets\nfrom elsewhere import parts\n"
    (package / "gan.py").write_text(code, encoding="utf-8")
    (tmp_path / "nets.py").write_text("", encoding="utf-8")
    (tmp_path / "unused.py").write_text("", encoding="utf-8")
    (package / "parts.py").write_text("x = 1\n", encoding="utf-8")
    (package / "other.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = sources("elsewhere.gan")
    assert [file.name for file in found] == ["__init__.py", "gan.py", "parts.py", "nets.py"]
    before = digest(found)
    (package / "other.py").write_text("y = 2\n", encoding="utf-8")
    assert digest(sources("elsewhere.gan")) == before
    (package / "parts.py").write_text("x = 2\n", encoding="utf-8")
    assert digest(sources("elsewhere.gan")) != before
