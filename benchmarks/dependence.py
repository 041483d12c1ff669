"""What a trained model's images depend on: the tracer, each MRI, its noise.

    python -m benchmarks.dependence results/models/*/fold-0_seed-0 \\
        --packed results/packed/sim-train

Of the validation subjects of each model's own training, by the sampler that it was validated with.
A cell is how far the model's output moves where one thing that it is given is another: the tracer
the next one, an MRI that of the cohort's next person, the noise drawn anew. It is the root mean
square over the brain, in percent of that of the true PET in the units that the model learns: with
`scaling: voxel_mean` deviations from each tracer's own mean, so that no mean is taken for the work
of a network. 0: the model does not look at it. Empty: it is not given it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import report
from benchmarks.people import pairs_of
from relad.compute.devices import autocast, choose_device
from relad.compute.randomness import generator_for
from relad.data.batch import Condition
from relad.data.batches import Pair, Volumes, in_batches, input_channels
from relad.data.dataset import PackedDataset
from relad.methods.synthesis import load_model
from relad.status import note_of
from relad.training.validation import sampling_of

TRACER, NOISE = "tracer", "noise"


def changed(
    given: Condition, other: Condition, inputs: list[str], tracers: list[int]
) -> Iterator[tuple[str, Condition]]:
    """What is given, with the tracer or one MRI of ``inputs`` another, by its name.

    ``other`` has the other person's MRI; ``tracers`` are those the model knows, in turn.
    """
    turn = {k: tracers[(n + 1) % len(tracers)] for n, k in enumerate(tracers)}
    if len(tracers) > 1:
        next_one = [turn[k] for k in given.tracer.tolist()]
        yield TRACER, replace(given, tracer=torch.tensor(next_one, device=given.tracer.device))
    for j, name in enumerate(inputs):
        mri = given.mri.clone()
        mri[:, j :: len(inputs)] = other.mri[:, j :: len(inputs)]  # itself, and its deviation
        yield name, replace(given, mri=mri)


def measured(model: Path, data: PackedDataset) -> dict[str, str]:
    """The line of one model."""
    device = choose_device("auto")
    method, scaling, info = load_model(model, device)
    pairs = pairs_of(data, info, "validation")
    inputs = list(info["entry"]["inputs"])
    volumes = Volumes(data, input_channels(data, inputs), device)
    sampling = sampling_of(method, info["entry"].get("validated_by"))
    known = [data.tracers.index(name) for name in info["trained_tracers"]]
    people = sorted({i for i, _ in data.pairs()})
    squares: dict[str, float] = defaultdict(float)

    def image(given: Condition, part: list[Pair], draw: int = 0) -> Tensor:
        keys = [(data.subjects[i]["subject"], data.tracers[k], draw) for i, k in part]
        random = [generator_for("dependence", *key, device=device) for key in keys]
        with torch.no_grad(), autocast(device, "auto"):
            return method.synthesize(given, sampling=sampling, random=random).double()

    for batch in in_batches(pairs, info["counts"]["batch_size"]):
        part = list(batch)
        truth = volumes.batch(part, scaling)
        following = [(people[(people.index(i) + 1) % len(people)], k) for i, k in part]
        given, other = (volumes.given(each, scaling) for each in (part, following))
        y = image(given, part)
        moved = {n: image(c, part) - y for n, c in changed(given, other, inputs, known)}
        if method.stochastic:
            moved[NOISE] = image(given, part, draw=1) - y
        for name, difference in {**moved, "": truth.pet.double()}.items():
            squares[name] += float(difference[truth.mask].square().sum())
    whole = squares.pop("")
    shares = {name: _two_digits(100 * (v / whole) ** 0.5) for name, v in squares.items()}
    columns = (TRACER, *data.modalities, NOISE)
    return {
        "model": f"{info['method']}, fold {info['fold']}, seed {info['seed']}",
        "sampling": sampling.name if method.stochastic else "",
        **{f"{name} (%)": shares.get(name, "") for name in columns},
    }


def _two_digits(value: float) -> str:
    """At least two significant ones, without an exponent."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("dependence", __doc__)
    parser.add_argument("models", type=Path, nargs="+", help="folders of trained models")
    parser.add_argument("--packed", type=Path, required=True, help="cohort they were trained on")
    args = parser.parse_args(argv)

    def text() -> str:
        data = PackedDataset(args.packed)
        rows = [measured(model, data) for model in tqdm(args.models, unit="model")]
        return f"{note_of([data.kind])}; validation subjects\n\n{report.table(rows)}"

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
