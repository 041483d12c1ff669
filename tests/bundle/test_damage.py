"""Damaged and malicious bundles: one line each, status 2, nothing written, nothing run."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from relad import cli
from relad.bundle.form import PARTS
from tests.helpers.bundles import (
    MANIFEST,
    PREPROCESSING,
    RECORD,
    WEIGHTS,
    header,
    members,
    record,
    signed,
    write,
)
from tests.helpers.settings import file_of, study

#: Name -> (what the message says, what makes the bundle of a good one).
CASES: dict[str, tuple[str, Callable[[Path, Path], None]]] = {}


def case(says: str) -> Callable[[Callable], Callable]:
    def add(make: Callable[[Path, Path], None]) -> Callable:
        CASES[make.__name__] = (says, make)
        return make

    return add


def adds(name: str, says: str, **options: object) -> None:
    """A case with one more member."""
    label = f"member_{name}"
    CASES[label] = (
        says,
        lambda good, bad: write(bad, members(good) | {name: b"{}"}, **options),
    )


# --- the file and its members -------------------------------------------------------------------


@case("is no bundle, or one that is cut short")
def cut_short(good: Path, bad: Path) -> None:
    bad.write_bytes(good.read_bytes()[:-1000])


@case("is no bundle")
def empty(good: Path, bad: Path) -> None:
    bad.write_bytes(b"")


@case("is no bundle")
def pickled_checkpoint(good: Path, bad: Path) -> None:
    bad.write_bytes(pickle.dumps({"model": [1, 2, 3]}))


@case("has bytes that belong to no member")
def program_before_it(good: Path, bad: Path) -> None:
    bad.write_bytes(b"#!/bin/sh\nrm -rf ~\n" + good.read_bytes())


@case("is no bundle, or one that is cut short: it does not end")
def bytes_after_it(good: Path, bad: Path) -> None:
    bad.write_bytes(good.read_bytes() + b"more")


@case("is damaged: model.safetensors")
def flipped_bit_in_weights(good: Path, bad: Path) -> None:
    content = bytearray(good.read_bytes())
    content[content.index(members(good)[WEIGHTS]) + 5000] ^= 1
    bad.write_bytes(content)


@case("another checksum than its manifest says")
def weights_of_another_model(good: Path, bad: Path) -> None:
    data = bytearray(members(good)[WEIGHTS])
    data[-1] ^= 1
    write(bad, members(good) | {WEIGHTS: bytes(data)}, sign=False)


@case("has 16 bytes, its manifest says")
def other_size_than_declared(good: Path, bad: Path) -> None:
    write(bad, members(good) | {"log.csv": b"update,seconds\n1"}, sign=False)


adds("/etc/cron.d/x.json", "is an absolute path")
adds("../../outside.json", "lies outside")
adds("C:evil.json", "is an absolute path")
adds("\\\\host\\share.json", "is an absolute path")
adds("folder/inside.json", "is no plain file")
adds("checkpoint.pt", "is none that a bundle of format 1 holds")
adds("evil.py", "is none that a bundle of format 1 holds")
adds("settings.json", "is a link", link="settings.json")


@case("holds log.csv twice")
def a_name_twice(good: Path, bad: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        write(bad, [*members(good).items(), ("log.csv", b"other")], sign=False)


@case("is compressed")
def zip_bomb(good: Path, bad: Path) -> None:
    content = members(good) | {"log.csv": bytes(2**24)}
    write(bad, content, compression=zipfile.ZIP_DEFLATED)
    assert bad.stat().st_size < 2 * good.stat().st_size


@case("bytes, 4194304 at most are read")
def text_that_fills_memory(good: Path, bad: Path) -> None:
    write(bad, members(good) | {"scores.csv": bytes(2**22 + 1)})


@case("has 60000 members, a bundle at most 6")
def sixty_thousand_members(good: Path, bad: Path) -> None:
    bad.write_bytes(
        good.read_bytes()[:-22] + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[60000] * 2, 0, 0, 0)
    )


@case("does not begin where the one before ends")
def members_that_overlap(good: Path, bad: Path) -> None:
    """Two entries of one directory that show the same bytes, as bombs without compression do."""
    content = bytearray(good.read_bytes())
    at = [i for i in range(len(content)) if content[i : i + 4] == b"PK\1\2"][-2]
    content[at + 42 : at + 46] = struct.pack("<L", 0)
    bad.write_bytes(content)


@case("is encrypted")
def encrypted(good: Path, bad: Path) -> None:
    content = bytearray(good.read_bytes())
    at = content.rindex(b"PK\1\2")
    content[at + 8] |= 1
    bad.write_bytes(content)


@case("lacks model.safetensors")
def no_weights(good: Path, bad: Path) -> None:
    write(bad, {k: v for k, v in members(good).items() if k != WEIGHTS})


# --- the manifest ---------------------------------------------------------------------------------


@case("is of format 2, written by relad 7.0; this relad reads format 1")
def a_later_format(good: Path, bad: Path) -> None:
    write(bad, signed(members(good), version=2, relad="7.0"), sign=False)


@case("its manifest is none of a model bundle")
def another_kind_of_zip(good: Path, bad: Path) -> None:
    write(bad, signed(members(good), format="other"), sign=False)


@case("manifest and content differ: log.csv")
def a_file_that_the_manifest_leaves_out(good: Path, bad: Path) -> None:
    told = json.loads(members(good)[MANIFEST])
    del told["files"]["log.csv"]
    write(bad, members(good) | {MANIFEST: json.dumps(told).encode()}, sign=False)


@case("says real data on its face, but simulated in train.json")
def simulated_data_as_real(good: Path, bad: Path) -> None:
    write(bad, signed(members(good), kind="real"), sign=False)


# --- JSON -----------------------------------------------------------------------------------------


@case("nested more than 32 levels deep")
def json_nested_a_million_deep(good: Path, bad: Path) -> None:
    write(bad, members(good) | {RECORD: b"[" * 10**6})


@case("train.json is not valid JSON (a key stands twice)")
def json_key_twice(good: Path, bad: Path) -> None:
    write(bad, members(good) | {RECORD: b'{"kind": "real", "kind": "simulated"}'})


@case("train.json is not valid JSON")
def json_number_of_a_million_digits(good: Path, bad: Path) -> None:
    write(bad, members(good) | {RECORD: b'{"fold": ' + b"9" * 10**6 + b"}"})


@case("train.json: tracers is not a list of tracers")
def tracer_that_is_a_path(good: Path, bad: Path) -> None:
    write(bad, record(members(good), tracers=["../../../root/x", "b", "c"]))


@case("train.json: method is not a method's id")
def name_that_moves_the_cursor(good: Path, bad: Path) -> None:
    write(bad, record(members(good), method="rela\x1b[2J\n"))


# --- the preprocessing ----------------------------------------------------------------------------


def preprocessed(content: dict[str, bytes], section: str, **changed: object) -> dict[str, bytes]:
    settings = {**PREPROCESSING, section: {**PREPROCESSING[section], **changed}}
    return record(content, preprocessing=settings)


@case("a bundle may bring no command")
def command_as_brain_extraction(good: Path, bad: Path) -> None:
    command = "touch pwned; cp {t1w} {mask}"
    write(bad, preprocessed(members(good), "registration", brain_extraction=command))


@case("preprocessing.grid.shape is not three numbers of voxels")
def grid_that_fills_memory(good: Path, bad: Path) -> None:
    write(bad, preprocessed(members(good), "grid", shape=[10**5] * 3))


@case("preprocessing: working_voxel_mm is not a voxel's edge in mm")
def voxels_that_fill_memory(good: Path, bad: Path) -> None:
    write(bad, preprocessed(members(good), "registration", working_voxel_mm=1e-3))


@case("train.json: seen is not ranges of the training people")
def page_that_is_a_program(good: Path, bad: Path) -> None:
    seen = {"people": 4, "scanners": [], "measures": {"<script>": {"n": 4}}}
    write(bad, record(members(good), seen=seen))


# --- the method -----------------------------------------------------------------------------------


@case("its method is os:system, which no installed package brings")
def class_of_the_standard_library(good: Path, bad: Path) -> None:
    write(bad, record(members(good), entry={"class": "os:system", "params": {"command": "id"}}))


@case("its method is planted:Evil, which no installed package brings")
def class_of_a_module_that_lies_here(good: Path, bad: Path) -> None:
    bad.with_name("planted.py").write_text("raise SystemExit('imported')\n")
    write(bad, record(members(good), entry={"class": "planted:Evil"}))


@case("its method is relad.fileio:write_text, which no installed package brings")
def function_of_relad_s_own(good: Path, bad: Path) -> None:
    write(bad, record(members(good), entry={"class": "relad.fileio:write_text"}))


@case("'relad.methods.method:build' is no class of a method")
def function_beside_the_methods(good: Path, bad: Path) -> None:
    write(bad, record(members(good), entry={"class": "relad.methods.method:build"}))


@case("which relad 0.1.0 does not have")
def class_of_a_later_version(good: Path, bad: Path) -> None:
    write(bad, record(members(good), entry={"class": "baselines.flow_matching_2030:Flow"}))


@case("has no parameter 'telepathy'")
def parameter_of_a_later_version(good: Path, bad: Path) -> None:
    write(bad, record(members(good), entry={"params": {"telepathy": True}}))


@case("its parameters ask for far more than its weights hold")
def network_that_fills_memory(good: Path, bad: Path) -> None:
    params = {"network": {"channels": [8, 10**6]}, "discriminator": {"channels": [8, 8]}}
    write(bad, record(members(good), entry={"params": params}))


@case("its parameters ask for far more than its weights hold")
def discriminator_that_fills_memory(good: Path, bad: Path) -> None:
    params = json.loads(members(good)[RECORD])["entry"]["params"]
    params["discriminator"] = {"channels": [10**5, 10**5]}
    write(bad, record(members(good), entry={"params": params}))


@case("Missing key(s) in state_dict")
def method_of_other_weights(good: Path, bad: Path) -> None:
    write(bad, record(members(good), entry={"params": {"network": {"channels": [8, 8, 8]}}}))


# --- the weights ----------------------------------------------------------------------------------


@case("model.safetensors is no safetensors file")
def pickle_as_weights(good: Path, bad: Path) -> None:
    write(bad, members(good) | {WEIGHTS: pickle.dumps(list(range(1000)))})


@case("its header is missing")
def header_longer_than_the_file(good: Path, bad: Path) -> None:
    write(bad, members(good) | {WEIGHTS: struct.pack("<Q", 2**40) + b"{}"})


@case("model.safetensors is no safetensors file")
def tensor_beyond_the_end(good: Path, bad: Path) -> None:
    def change(told: dict) -> None:
        told[sorted(told)[-1]]["data_offsets"][1] += 2**30

    write(bad, header(members(good), change))


@case("model.safetensors is no safetensors file")
def tensors_that_share_bytes(good: Path, bad: Path) -> None:
    def change(told: dict) -> None:
        names = [name for name in told if name != "__metadata__"]
        told["generator.x"] = dict(told[names[0]])

    write(bad, header(members(good), change))


@case("holds optimizer.state, which is no part of a model")
def tensor_of_no_part(good: Path, bad: Path) -> None:
    def change(told: dict) -> None:
        told["optimizer.state"] = told.pop(next(n for n in told if n.startswith("generator")))

    write(bad, header(members(good), change))


@pytest.mark.parametrize("name", CASES)
def test_is_refused_in_one_line(
    name: str,
    bundle: Path,
    packed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    says, make = CASES[name]
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    work.mkdir()
    scratch.mkdir()
    make(bundle, work / "bad.zip")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(work)  # as `python -m relad` has it
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = {path: path.read_bytes() for path in work.iterdir()}
    modules = set(sys.modules)

    words = ["synthesize", "bad.zip", str(packed), "out", "--settings", file_of(study())]
    assert cli.main(words) == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1 and says in said and "bad.zip" in said, said
    assert said.isprintable() or said[:-1].isprintable()
    assert {path: path.read_bytes() for path in work.iterdir()} == before
    assert list(scratch.iterdir()) == []
    assert "planted" not in sys.modules.keys() - modules


def test_every_part_has_a_limit() -> None:
    assert all(0 < part.limit < 2**31 for part in PARTS.values())
