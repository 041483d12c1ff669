"""Every rule says what it needs; style of the workflow; what the environments hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relad.cli import STEPS
from relad.study import fingerprints
from relad.study.catalogue import RESULTS
from relad.study.resources import COSTS
from relad.study.settings import OF_STEP
from tests.helpers.conda import ENVIRONMENTS, dependencies
from tests.helpers.small_study import DIRECT, REPOSITORY

RULES = REPOSITORY / "workflow" / "rules"
#: Module -> package, where the names differ.
PACKAGES = {
    "PIL": "pillow",
    "ants": "antspyx",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "yaml": "pyyaml",
}
#: Checks shapes in types where it is there, see relad/shapes.py.
OPTIONAL = {"jaxtyping"}


def rules() -> dict[str, str]:
    """Text of each rule of the workflow, by name."""
    found = {}
    for file in sorted(RULES.glob("*.smk")):
        parts = re.split(r"^rule (\w+):\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return found


def test_every_step_is_a_rule_and_every_rule_a_step() -> None:
    assert set(rules()) == set(STEPS) - DIRECT


@pytest.mark.parametrize("name", sorted(rules()))
def test_rule_says_what_it_needs(name: str) -> None:
    text = rules()[name]
    keywords = set(re.findall(r"^    (\w+):", text, flags=re.MULTILINE))
    wanted = {"output", "params", "log", "benchmark", "conda", "threads", "resources", "message"}
    assert not wanted - keywords
    assert re.search(
        r'^    shell:\n +"(LIBRARY_THREADS=\S+ )?(RELAD_TASKS=\S+ "\n +")?'
        rf"CODE={{params\.code}} relad {name} ",
        text,
        flags=re.MULTILINE,
    )
    if name in OF_STEP:
        assert re.search(rf'settings=(uncompared\()?settings\("{name}"', text)
    assert f'code=code("{name}")' in text
    assert f'    resources:\n        **needs("{name}"),\n' in text
    assert name in COSTS


def test_lint_and_format() -> None:
    for command in (
        ["snakemake", "--lint", "--directory", str(REPOSITORY)],
        ["snakefmt", "--check", "workflow"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_profiles_name_only_rules_that_exist() -> None:
    profile = yaml.safe_load((REPOSITORY / "workflow/profiles/slurm/config.yaml").read_text())
    assert set(profile["groups"]) <= set(rules())
    # Of one option, `--set-resources` on the command line replaces all that a profile says.
    assert not {"set-resources", "default-resources", "set-threads"} & set(profile)


# --- environments -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_environment_is_pinned_and_from_one_channel(file: Path) -> None:
    environment = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert set(environment) == {"channels", "dependencies"}
    assert environment["channels"] == ["conda-forge"]
    *conda, last = environment["dependencies"]
    for dependency in last["pip"] if isinstance(last, dict) else ():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", dependency), dependency
    for dependency in conda if isinstance(last, dict) else (*conda, last):
        assert re.fullmatch(r"[a-z0-9-]+=[0-9]+\.[0-9.]*[0-9*]", dependency), dependency


def third_party(files: tuple[Path, ...]) -> set[str]:
    """Top-level modules that files import from other distributions."""
    found = set()
    for file in (file for file in files if file.suffix == ".py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"relad", "baselines"}


@pytest.mark.parametrize("name", sorted(rules()))
def test_environment_holds_what_the_step_imports(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What reads settings and writes logs is no part of a fingerprint, but every job imports it.
    monkeypatch.setattr(fingerprints, "PLUMBING", frozenset())
    modules = [f"relad.steps.{name}", "relad.cli"]
    if name in ("tables", "figures"):
        modules += [result.module for result in RESULTS if name.startswith(result.kind)]
    if name in ("train", "search", "synthesize"):
        modules += [
            f"baselines.{file.stem}" for file in (REPOSITORY / "baselines").glob("[a-z]*.py")
        ]
        modules.append("relad.methods.reladiff")
    (file,) = re.findall(r'"\.\./\.\./(envs/\w+\.yaml)"', rules()[name])
    held = set().union(*dependencies(REPOSITORY / file))
    needed = {
        PACKAGES.get(module, module) for module in third_party(fingerprints.sources(*modules))
    }
    assert needed - OPTIONAL <= held
