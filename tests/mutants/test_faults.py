"""That the faults can still be planted and the tests that they name are there.

Whether the tests notice them is for ``python -m tests.mutants`` to tell, in its own time.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.orphans import is_running
from relad.study.paths import REPOSITORY
from tests.mutants import __main__ as mutants
from tests.mutants import running
from tests.mutants.faults import Fault, load

FAULTS = load()


def test_every_fault_can_be_planted(tmp_path: Path) -> None:
    wrong = []
    for fault in FAULTS:
        copy = tmp_path / fault.name / fault.file
        copy.parent.mkdir(parents=True)
        shutil.copyfile(REPOSITORY / fault.file, copy)
        try:
            fault.plant(tmp_path / fault.name)
        except ReladError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


def test_the_tests_that_should_notice_exist() -> None:
    missing = set()
    for test in {test for fault in FAULTS for test in fault.tests}:
        path, _, function = test.partition("::")
        if not (REPOSITORY / path).exists():
            missing.add(test)
        elif function:
            tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
            if function.partition("[")[0] not in {
                n.name for n in tree.body if isinstance(n, ast.FunctionDef)
            }:
                missing.add(test)
    assert not missing


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("absent", "x", "'absent' stands 0 times in it, not once"),
        ("1", "2", "'1' stands 2 times in it, not once"),
        ("a = 1", "a = (", "leaves no Python"),
    ],
)
def test_a_fault_that_cannot_be_planted_is_named(tmp_path, old, new, told) -> None:
    (tmp_path / "a.py").write_text("a = 1\nb = 1\n")
    with pytest.raises(ReladError, match=rf"a\.py: fault 'off': .*{told}"):
        Fault("off", "", "a.py", old, new, ()).plant(tmp_path)
    assert (tmp_path / "a.py").read_text() == "a = 1\nb = 1\n"


def test_survivors_are_told_and_what_is_known_is_not_run_again(monkeypatch, tmp_path, capsys):
    """Of three faults one survives; a second run tries none of them, one with other faults does."""
    file = "relad/imaging/psnr.py"
    factors = {"caught": 20, "lives": 30, "hangs": 40}
    faults = [
        Fault(name, "Kind", file, "10 *", f"{factor} *", (f"tests/{name}.py",))
        for name, factor in factors.items()
    ]
    outcomes = {
        "lives": None,
        "caught": "tests/caught.py::test[a|b]",
        "hangs": "no end within 600 s",
    }
    ran = []

    def run_tests(root, tests, limit=None):
        ran.append(tests)
        planted = (root / file).read_text()
        if "10 *" in planted:
            return None
        name = Path(tests[0]).stem
        assert f"{factors[name]} *" in planted
        return outcomes[name]

    def copy_sources(root):
        (root / file).parent.mkdir(parents=True)
        shutil.copyfile(REPOSITORY / file, root / file)

    monkeypatch.setattr(running, "run_tests", run_tests)
    monkeypatch.setattr(mutants, "copy_sources", copy_sources)
    monkeypatch.setattr(mutants, "load", lambda: faults)
    monkeypatch.setattr(Fault, "fingerprint", lambda self, root: repr(self))
    results = ["--results", str(tmp_path / "results.json")]
    for _ in range(2):
        assert mutants.main(results) == 1
        printed = capsys.readouterr().out
        assert "3 faults, 2 caught, 1 survive" in printed
        assert f"| lives | `{file}` | **SURVIVES** |  |" in printed
        assert f"| caught | `{file}` | caught | `caught.py::test[a\\|b]` |" in printed
        assert len(ran) == 4
    assert "10 *" in (REPOSITORY / file).read_text()
    assert mutants.main([*results, "--only", "caught"]) == 0
    monkeypatch.setitem(outcomes, "lives", "tests/lives.py::test")
    faults[1] = Fault("lives", "Kind", file, "10 *", "30 * 1 *", ("tests/lives.py",))
    assert mutants.main(results) == 0
    assert ran[-1] == ("tests/lives.py",)


def test_tests_that_fail_without_a_fault_are_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(running, "run_tests", lambda root, tests, limit=None: "tests/a.py::test")
    monkeypatch.setattr(mutants, "copy_sources", lambda root: None)
    with pytest.raises(ReladError, match=r"tests/a\.py::test fails without any fault"):
        mutants.main(["--results", str(tmp_path / "results.json"), "--only", FAULTS[0].name])


def test_who_has_just_run_the_tests_need_not_run_them_again(monkeypatch, tmp_path) -> None:
    planted = []

    def run_tests(root, tests, limit=None):
        planted.append(tests)
        return "tests/a.py::test"

    monkeypatch.setattr(running, "run_tests", run_tests)
    given = ["--results", str(tmp_path / "results.json"), "--only", FAULTS[0].name]
    assert mutants.main([*given, "--tests-pass"]) == 0
    assert planted == [FAULTS[0].tests]


def test_faults_that_cannot_be_tried_do_not_keep_others_from_it(monkeypatch, tmp_path, capsys):
    file, tests = "relad/imaging/psnr.py", ("tests/a.py",)
    faults = [Fault(name, "", file, old, "x", tests) for name, old in (("a", "no"), ("b", "math."))]

    def copy_sources(root):
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text("import math.inf\n")

    monkeypatch.setattr(running, "run_tests", lambda root, tests, limit=None: None)
    monkeypatch.setattr(mutants, "copy_sources", copy_sources)
    monkeypatch.setattr(mutants, "load", lambda: faults)
    monkeypatch.setattr(Fault, "fingerprint", lambda self, root: repr(self))
    with pytest.raises(ReladError, match="fault 'a': 'no' stands 0 times"):
        mutants.main(["--results", str(tmp_path / "results.json")])
    assert "b: SURVIVES" in capsys.readouterr().err


def test_tests_of_a_fault_end_with_who_planted_it(tmp_path) -> None:
    """Killed outright; else they would run on beside those of the next run, for minutes."""
    said = tmp_path / "number"
    test = f"import os, time\ndef test():\n    open({str(said)!r}, 'w').write(str(os.getpid()))\n"
    (tmp_path / "test_long.py").write_text(test + "    time.sleep(100)\n")
    script = "import sys; from pathlib import Path; from tests.mutants.running import run_tests\n"
    script += "if __name__ == '__main__': run_tests(Path(sys.argv[1]), ['test_long.py'])"
    planter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY)
    until = time.monotonic() + 60
    while not (said.exists() and said.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    planter.kill()
    planter.wait()
    number = int(said.read_text())
    while is_running(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(number)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ReladError, match="no fault none-such"):
        mutants.main(["--only", "none-such"])
