"""What one step of a predictor computes, as plain data: read by the fast engines and by every exporter.

A plan is a list of layers over numbered values. Value `DRY` is the dry sample x[t], value `WET` the wet sample
y[t-1], and layer i makes value `FIRST + i`; the last layer makes the next wet sample y[t]. A layer is

    activation(bias + sum over its terms of weight * window of the term's source)

which covers windows over dry or wet, dense layers (one tap), sums, skips and companding. The weights are the live
parameters, not copies. Shapes: U units, W width of the source, N taps (oldest first).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

DRY, WET, FIRST = 0, 1, 2


@dataclass(frozen=True)
class Activation:
    """An elementwise function by name (see `activations.py`), with its one parameter if it has one."""

    kind: str = "identity"
    parameter: float = 0.0


@dataclass(frozen=True)
class Term:
    """`weight` (U, W, N) times the last N values of `source`, `dilation` samples apart, ending at now."""

    source: int
    weight: Tensor
    dilation: int = 1

    @property
    def span(self) -> int:
        """Samples of the source before the present one that this term looks back to."""
        return (self.weight.shape[-1] - 1) * self.dilation


@dataclass(frozen=True)
class Layer:
    """activation(bias + sum of terms); `bias` is (U,) or None for zero."""

    terms: tuple[Term, ...]
    bias: Tensor | None = None
    activation: Activation = Activation()

    @property
    def units(self) -> int:
        return self.terms[0].weight.shape[0]


@dataclass
class Plan:
    """The layers of one step, in the order in which they are computed."""

    layers: list[Layer] = field(default_factory=list)

    def add(self, *terms: Term, bias: Tensor | None = None, activation: Activation = Activation()) -> int:
        """Append a layer and return the number of the value that it makes."""
        self.layers.append(Layer(terms, bias, activation))
        return self.last

    @property
    def last(self) -> int:
        """The number of the last value, which is y[t]."""
        return FIRST + len(self.layers) - 1

    def values(self) -> Iterator[tuple[int, Layer]]:
        """(value number, layer) in order of computation."""
        return enumerate(self.layers, start=FIRST)

    def width(self, value: int) -> int:
        return 1 if value < FIRST else self.layers[value - FIRST].units

    def looping(self) -> list[int]:
        """The values that hear the feedback, in order of computation."""
        early = self.feedforward()
        return [value for value, _ in self.values() if value not in early]

    def looping_terms(self, value: int) -> list[Term]:
        """The terms of a looping layer that come from inside the loop."""
        early = self.feedforward()
        return [term for term in self.layers[value - FIRST].terms if term.source not in early]

    def feedforward(self) -> set[int]:
        """The values that depend on dry samples alone, and so need not wait for the feedback."""
        known = {DRY}
        for value, layer in self.values():
            if all(term.source in known for term in layer.terms):
                known.add(value)
        return known

    def histories(self) -> dict[int, int]:
        """For each value, how many samples of its past the layers after it look back to."""
        spans = dict.fromkeys(range(FIRST + len(self.layers)), 0)
        for layer in self.layers:
            for term in layer.terms:
                spans[term.source] = max(spans[term.source], term.span)
        return spans

    def multiply_adds(self) -> int:
        """Multiplications and additions, as pairs, for one sample."""
        return sum(term.weight.numel() for layer in self.layers for term in layer.terms)
