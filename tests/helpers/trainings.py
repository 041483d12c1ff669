"""Short trainings of small networks on the packed toy cohort."""

from __future__ import annotations

import json

from relad import cli
from relad.study import config

NETWORK = {"channels": [8, 16]}


def settings(**training) -> dict:
    full = config.load()
    methods = {
        name: {**full["methods"][name], "params": {"network": NETWORK}}
        for name in ("rela", "ddpm", "unet")
    }
    methods["rela"]["params"]["discriminator"] = {"channels": [8, 8]}
    methods["template"] = full["methods"]["template"]
    options = {**full["training"], "updates": 12, "checkpoint_every": 4}
    options |= {"validation": {"subjects": 0, "every": 4, "steps": 1}, **training}
    return {"methods": methods, "training": options, "tracers": full["tracers"]}


def train(packed, out, method, part=None):
    named = ["--method", method, "--fold", "0", "--seed", "0"]
    text = json.dumps(part or settings())
    return cli.main(["train", str(packed), str(out), *named, "--settings", text])
