"""Shapes in types: ``Float[Tensor, "b 1 x y z"]`` says what a docstring would have to.

The tests check every annotated call (jaxtyping with beartype). A machine that only trains need not
have jaxtyping: the annotations then say nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

try:
    from jaxtyping import Bool, Float, Int
except ImportError:

    class _Anything:
        def __class_getitem__(cls, item: Any) -> Any:
            return item[0]

    Bool = Float = Int = _Anything  # type: ignore[misc,assignment]

#: One-channel volumes of a batch: PET, noise, an error.
Volume = Float[Tensor, "b 1 x y z"]
Mask = Bool[Tensor, "b 1 x y z"]
#: One number per sample: a loss before its mean, a critic's value, a weight.
PerSample = Float[Tensor, " b"]
#: One whole number per sample: its tracer, its time t.
Index = Int[Tensor, " b"]
Scalar = Float[Tensor, ""]

__all__ = ["Bool", "Float", "Index", "Int", "Mask", "PerSample", "Scalar", "Volume"]
