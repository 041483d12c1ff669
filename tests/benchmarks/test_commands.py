"""Each benchmark runs end to end at the smallest size, and again without measuring again."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("einops")

from benchmarks import costs, cpu, gpu, race
from benchmarks.contestants import contestant
from benchmarks.parts import Parts
from benchmarks.variants import VARIANTS, variant
from relad.errors import ReladError
from relad.fileio import read_json
from relad.study import config
from relad.study.paths import REPOSITORY

DEFAULT = ["--settings", str(REPOSITORY / "config" / "config.yaml")]
#: Every kind of part of the GPU's benchmark. Compilation takes minutes and is left out; the
#: release's networks, slow at any size, take part where a comparison needs them.
PARTS = ["ceilings", "agreement", "train", "sample", "memory/12x12x12/rela"]
PARTS += ["profile/12x12x12/rela", "loader/12x12x12/never", "count/12x12x12/rela"]
PARTS += ["variants/12x12x12/bfloat16, channels last"]


def test_gpu_runs_on_a_cpu_and_continues(tmp_path):
    arguments = [str(tmp_path), "--device", "cpu", "--sizes", "tiny", "--small", "12x12x12"]
    arguments += ["--methods", "rela", "--seconds", "0.1", *DEFAULT]
    assert gpu.main([*arguments, "--only", *PARTS]) == 0
    state = read_json(tmp_path / "gpu.json")
    parts = state["parts"]
    kinds = {part.partition("/")[0] for part in PARTS}
    assert {key.partition("/")[0] for key in parts} == kinds - {"count"}
    assert parts["agreement/rela"]["device to CPU, volume"] == 0.0
    assert 0 < parts["agreement/rela"]["bfloat16 to float32, volume"] < 0.1
    counted = read_json(tmp_path / "counts.json")["parts"]
    assert counted["count/12x12x12/rela"]["step"]["operations"] > 1e8
    text = (tmp_path / "gpu.md").read_text()
    ratios = text.index("## Against the release's step")
    assert ratios < text.index("## Agreement") < text.index("## What was measured")
    assert "| 12x12x12 | rela |" in text

    before = (tmp_path / "gpu.json").read_bytes()
    assert gpu.main([*arguments, "--only", *PARTS]) == 0
    assert (tmp_path / "gpu.json").read_bytes() == before


def test_cpu_names_the_machine_and_says_whether_targets_are_met(tmp_path, monkeypatch):
    # The processes of their own are tried above; two more would only take time.
    memory = {"rela": 300.0, "release": 900.0}
    monkeypatch.setattr(costs, "_in_own_process", lambda who, *_: memory[who.name])
    arguments = [str(tmp_path), "--sizes", "12x12x12", "--counted", "--seconds", "0.1", *DEFAULT]
    assert cpu.main([*arguments, "--methods", "rela"]) == 0
    text = (tmp_path / "cpu.md").read_text()
    assert "PyTorch" in text and "MONAI" in text
    assert "at least 8 x | not measured" in text
    first = text.index("| size | method | trains |")
    assert first < text.index("step (s)"), "ratios come first"
    times = read_json(tmp_path / "cpu.json")["parts"]["train/12x12x12/all"]["by_method"]
    assert set(times) == {"rela", "release"}
    assert times["release"]["turns"] >= 1
    assert "| 33% |" in text, "a third of the memory"


def test_race_draws_ours_and_the_release_and_continues(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(race, "STEPS", (1, 2))
    contestants = race.contestants
    monkeypatch.setattr(
        race,
        "contestants",
        lambda settings: {k: {**c, "steps": 1} for k, c in contestants(settings).items()},
    )
    arguments = [str(packed), str(tmp_path), "--seconds", "1", "--validations", "2"]
    assert race.main([*arguments, "--subjects", "1", *DEFAULT]) == 0
    state = read_json(tmp_path / "race.json")
    assert set(state["contestants"]) == set(state["steps"]) == set(state["plan"]["updates"])
    for c in state["contestants"].values():
        assert [row["update"] for row in c["log"]] == sorted(row["update"] for row in c["log"])
    text = (tmp_path / "race.md").read_text()
    assert "SIMULATED DATA" in text and "equal wall time" in text
    assert (tmp_path / "race.png").stat().st_size > 10_000
    models = sorted(tmp_path.glob("*/model.safetensors"))
    written = [file.stat().st_mtime_ns for file in models]
    assert len(models) == 3
    assert race.main([*arguments, "--subjects", "1", *DEFAULT]) == 0
    assert [file.stat().st_mtime_ns for file in models] == written
    assert json.dumps(read_json(tmp_path / "race.json")) == json.dumps(state)


def test_measurements_of_another_machine_are_not_mixed(tmp_path):
    parts = Parts(tmp_path / "a.json", {"machine": "one"})
    assert parts("x", lambda: 1) == 1
    assert Parts(tmp_path / "a.json", {"machine": "one"})("x", lambda: 2) == 1
    with pytest.raises(ReladError, match="another machine"):
        Parts(tmp_path / "a.json", {"machine": "two"})


def test_no_part_starts_after_the_budget(tmp_path):
    parts = Parts(tmp_path / "a.json", {}, budget=-1)
    assert parts("x", lambda: 1) is None
    assert parts("x", lambda: 1) is None
    assert parts.left == ["x"]


def test_a_part_that_fails_is_told_and_the_others_are_measured(tmp_path):
    def fails():
        raise RuntimeError("no kernel for it\nand more")

    parts = Parts(tmp_path / "a.json", {}, keep_going=True)
    assert parts("x", fails) is None
    assert parts("y", lambda: 2) == 2
    assert parts("x", lambda: 3) is None, "once in a run is enough"
    assert parts.failed == {"x": "RuntimeError: no kernel for it"}
    again = Parts(tmp_path / "a.json", {}, keep_going=True)
    assert again("x", lambda: 3) == 3, "what failed is measured by the next run"
    assert not again.failed
    with pytest.raises(RuntimeError, match="no kernel"):
        Parts(tmp_path / "b.json", {})("x", fails)


def test_a_failure_on_the_gpu_stands_in_the_report_and_in_the_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "ceilings", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(costs, "counts", lambda *_: 1 / 0)
    arguments = [str(tmp_path), "--device", "cpu", "--sizes", "tiny", "--methods", "rela", *DEFAULT]
    wanted = ["ceilings", "count/12x12x12/rela"]
    for name in wanted:
        assert gpu.main([*arguments, "--only", name]) == 1
        assert f"{name} failed: ZeroDivisionError" in capsys.readouterr().err
        assert f"**Failed**: {name}, ZeroDivisionError" in (tmp_path / "gpu.md").read_text()


def test_what_the_targets_ask_comes_first_on_a_gpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(gpu, "describe", lambda _: {"summary": "a card"})
    for place, names in (
        (gpu, ("ceilings", "agreement", "profile", "loader_share", "variant")),
        (costs, ("time_steps", "time_evaluations", "peak_memory", "counts")),
    ):
        for name in names:
            monkeypatch.setattr(place, name, lambda *_, **__: {})
    sizes, arguments = ("12x12x12", "16x16x16"), [str(tmp_path), "--methods", "rela", "unet"]
    assert gpu.main([*arguments, "--sizes", *sizes, *DEFAULT]) == 0
    told = [
        line.split(" s  ")[1] for line in capsys.readouterr().err.splitlines() if " s  " in line
    ]
    assert len(told) == len(set(told))
    others = min(told.index("agreement/unet"), told.index("train/12x12x12/unet"))
    for size in sizes:
        asked = [
            f"{what}/{size}/{who}" for what in ("train", "memory") for who in ("rela", "release")
        ]
        asked += [f"profile/{size}/rela", *(f"variants/{size}/{name}" for name in VARIANTS)]
        assert all(told.index(name) < others for name in asked)
        assert f"memory/{size}/unet" in told


@pytest.mark.parametrize(("options", "mode"), [({}, None), ({"graphs": True}, "reduce-overhead")])
def test_a_variant_is_compiled_as_it_says(monkeypatch, options, mode):
    modes = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _, mode: modes.append(mode))
    who = contestant("unet", config.load())
    device = torch.device("cpu")
    variant(who, (12, 12, 12), device, 0.05, precision="float32", compile=True, **options)
    assert modes == [mode]
