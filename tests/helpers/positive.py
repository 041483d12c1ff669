"""Eight people of whom four are positive, and metric rows of their SUVR."""

from __future__ import annotations

from typing import Any

from tests.helpers.fake_study import score

CUT = 1.3
#: Real SUVR of eight people, four in each of two folds.
TRUE = dict(zip("ABCDEFGH", (1.0, 1.1, 1.5, 1.6, 1.2, 1.25, 1.4, 1.8), strict=True))


def rows_of(method: str, synthetic: dict[str, float], **changes: Any) -> list[dict]:
    return [
        score(method=method, subject=s, region=region, metric=metric, value=v, fold=int(s > "D"))
        | changes
        for s, value in synthetic.items()
        for region in ("brain", "thalamus")
        for metric, v in (("suvr", value), ("suvr_true", TRUE[s]))
    ]


def shrunk(keep: float) -> dict[str, float]:
    return {s: 1.5 + keep * (v - 1.5) for s, v in TRUE.items()}
