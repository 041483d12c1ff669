"""What is searched of one method's parameters, as search.schema.yaml declares it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from relad.errors import ReladError
from relad.methods.method import build, class_of
from relad.study.config import with_values
from relad.study.settings import TrainedMethod

_NUMBERS = {"float": FloatDistribution, "int": IntDistribution}


class Space:
    """Parameters of a method that are searched, and their distributions.

    Optuna is given the index of a choice, as choices may be lists.

    Parameters
    ----------
    name, entry
        Id of the method, and its entry in the configuration.
    declared
        Path of a parameter -> its distribution, as the file ``tuning.space`` has it.

    Raises
    ------
    ReladError
        Where nothing is declared or a distribution cannot be.
    """

    def __init__(self, name: str, entry: TrainedMethod, declared: Mapping[str, Mapping[str, Any]]):
        if not declared:
            raise ReladError(
                f"method {name!r} has nothing to search",
                hint="declare its parameters in the file that tuning.space names",
            )
        self.name, self.entry = name, entry
        self.choices = {p: d["choices"] for p, d in declared.items() if "choices" in d}
        self.distributions: dict[str, BaseDistribution] = {}
        for path, told in declared.items():
            try:
                self.distributions[path] = self._distribution(path, told)
            except (TypeError, ValueError) as error:
                raise self._error(path, str(error)) from None

    def _error(self, path: str, what: str) -> ReladError:
        return ReladError(
            f"search space of {self.name!r}: {path}: {what}",
            hint="mend the file that tuning.space names",
        )

    def _distribution(self, path: str, told: Mapping[str, Any]) -> BaseDistribution:
        if path in self.choices:
            return CategoricalDistribution(range(len(self.choices[path])))
        return _NUMBERS[told["type"]](told["low"], told["high"], log=told["log"])

    def check(self, *, inputs: int, tracers: int) -> None:
        """Build the method with the ends of every range and with every choice.

        Raises
        ------
        ReladError
            Naming the parameter that the method does not take, or not with such a value.
        """
        for path, d in self.distributions.items():
            if inner := [other for other in self.distributions if other.startswith(f"{path}.")]:
                raise self._error(path, f"{inner[0]} is a part of it, and is searched too")
            for value in self.choices.get(path) or (d.low, d.high):
                try:
                    entry = self.with_values({path: value})
                    build(self.name, entry, inputs=inputs, tracers=tracers)
                # What a constructor raises of a value that it cannot use is anything.
                except Exception as error:
                    said = error.what if isinstance(error, ReladError) else error
                    raise self._error(path, f"{value!r} is not taken ({said})") from None

    def with_values(self, values: Mapping[str, Any]) -> TrainedMethod:
        """Entry of the method with other values of some parameters."""
        return replace(self.entry, params=with_values(self.entry.params, values))

    def values(self, suggested: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the parameters that Optuna suggests."""
        return {p: self.choices[p][v] if p in self.choices else v for p, v in suggested.items()}

    def configured(self) -> dict[str, Any]:
        """Values that the entry or else its class has, of the parameters where they are known.

        The default of a parameter one level down is known to the network alone.
        """
        found = {}
        for path in self.distributions:
            first, *levels = path.split(".")
            value = self.entry.params.get(first, _default(class_of(self.name, self.entry), first))
            for level in levels:
                value = value.get(level, _UNKNOWN) if isinstance(value, Mapping) else _UNKNOWN
            if value is not _UNKNOWN:
                found[path] = value
        return found

    def suggestible(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Inverse of :meth:`values`; None where one is missing or lies outside the space."""
        found = {}
        for path, d in self.distributions.items():
            value = json.loads(json.dumps(values.get(path)))  # a tuple is a list in the file
            if path in self.choices:
                if value not in self.choices[path]:
                    return None
                found[path] = self.choices[path].index(value)
            elif isinstance(value, int | float) and d.low <= value <= d.high:
                found[path] = value
            else:
                return None
        return found


_UNKNOWN = object()


def _default(cls: type, parameter: str) -> Any:
    """Default of a constructor's parameter, its base classes' included."""
    for each in cls.__mro__:
        known = inspect.signature(each.__init__).parameters if "__init__" in vars(each) else {}
        if parameter in known and known[parameter].default is not inspect.Parameter.empty:
            return known[parameter].default
    return _UNKNOWN
