"""The plan: one step of a predictor as plain data, read by the fast engines and by every exporter.

A plan is a list of steps over numbered values. Value `DRY` is the dry sample x[t]; a `State` is what some other value
was one sample ago, and `WET`, the wet sample y[t-1], is the first of them; each other step makes a value of those
before it, in order. The last value is the next wet sample y[t]. The steps are

    Layer    activation(bias + sum over its terms of weight * window of the term's source)
    Mix      activation(sum over its products of scale * factor [* factor]), element by element
    Lookup   the row of a table at the place that its source points to
    Part     some of the units of another value
    Knobs    where an effect's knobs stand, given from outside as DRY is: the first step, if there is one

which covers windows over dry or wet, dense layers, companding, gates, recurrent cells, dilated convolutions,
running averages, rotations and embeddings. The weights are the live parameters, not copies.
What depends on the knobs alone, the control values, is computed at every 32nd sample and linear between (`control.py`).
Shapes: U units, W width of the source, N taps (oldest first), C rows of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

DRY, WET, FIRST = 0, 1, 2
# Samples from one point at which control values are computed to the next.
PERIOD = 32


@dataclass(frozen=True)
class Activation:
    """A function by name (see `activations/`), with its one parameter if it has one."""

    kind: str = "identity"
    parameter: float = 0.0


IDENTITY, TANH, SIGMOID, DECAY = map(Activation, ("identity", "tanh", "sigmoid", "decay"))
CLAMP = Activation("clamp", 1.0)


@dataclass(frozen=True, eq=False)
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
    """activation(bias + sum of terms); `bias` is (U,), or (B, U) for one a stream of a batch, or None for zero."""

    terms: tuple[Term, ...]
    bias: Tensor | None = None
    activation: Activation = IDENTITY

    @property
    def units(self) -> int:
        return self.terms[0].weight.shape[0]

    def spans(self) -> dict[int, int]:
        """The values read, each with how many samples back."""
        spans: dict[int, int] = {}
        for term in self.terms:
            spans[term.source] = max(term.span, spans.get(term.source, 0))
        return spans

    def multiply_adds(self) -> int:
        return sum(term.weight.numel() for term in self.terms)


@dataclass(frozen=True)
class Product:
    """`scale` (a number, or (U,) for one a unit) times one or two values."""

    factors: tuple[int, ...]
    scale: float | Tensor = 1.0


@dataclass(frozen=True)
class Mix:
    """activation(sum of products) of values that are all `units` wide."""

    products: tuple[Product, ...]
    units: int
    activation: Activation = IDENTITY

    def spans(self) -> dict[int, int]:
        return {factor: 0 for product in self.products for factor in product.factors}

    def multiply_adds(self) -> int:
        return self.units * len(self.products)


@dataclass(frozen=True)
class Lookup:
    """Rows of `table` (C, U) spread evenly over [-1, 1], read at `source` (one unit wide, held in that range).

    `nearest` takes the nearest row, else the two around it are interpolated. The gradient to the source is the
    interpolation's either way (a straight-through estimate where the row is the nearest).
    """

    source: int
    table: Tensor
    nearest: bool = False
    activation: Activation = IDENTITY

    @property
    def units(self) -> int:
        return self.table.shape[1]

    def spans(self) -> dict[int, int]:
        return {self.source: 0}

    def multiply_adds(self) -> int:
        return self.units


@dataclass(frozen=True)
class State:
    """The value that another one (see `Plan.close`) had one sample ago; zero before the first."""

    units: int

    def spans(self) -> dict[int, int]:
        return {}

    def multiply_adds(self) -> int:
        return 0


@dataclass(frozen=True)
class Part:
    """`units` units of another value, from `first` on: a name for them, nothing to compute."""

    source: int
    first: int
    units: int

    def spans(self) -> dict[int, int]:
        return {self.source: 0}

    def multiply_adds(self) -> int:
        return 0


@dataclass(frozen=True)
class Knobs:
    """Positions of `units` knobs, -1 to 1 each: an input beside DRY, constant or at control rate."""

    units: int

    def spans(self) -> dict[int, int]:
        return {}

    def multiply_adds(self) -> int:
        return 0


Step = Layer | Mix | Lookup | State | Part | Knobs


@dataclass
class Plan:
    """The steps of one sample, in the order in which they are computed."""

    steps: list[Step] = field(default_factory=list)
    sources: dict[int, int] = field(default_factory=dict)
    """For each state, WET included, the value that it remembers."""
    params: int = -1
    """The value that holds the parameters from which the sample is decoded."""
    channels: int = 1
    """Width of DRY and of WET: more than 1 for a plan over features or parameters instead of samples."""

    def add(self, *terms: Term, bias: Tensor | None = None, activation: Activation = IDENTITY) -> int:
        """Append a layer and return the number of the value that it makes."""
        return self.append(Layer(terms, bias, activation))

    def mix(self, *products: Product, activation: Activation = IDENTITY) -> int:
        """Append a mix and return the number of its value."""
        return self.append(Mix(products, self.width(products[0].factors[0]), activation))

    def lookup(self, source: int, table: Tensor, nearest: bool = False) -> int:
        """Append a lookup and return the number of its value."""
        return self.append(Lookup(source, table, nearest))

    def state(self, units: int) -> int:
        """Append a state, to be closed when the value that it remembers exists, and return its number."""
        return self.append(State(units))

    def part(self, source: int, first: int, units: int) -> int:
        """Append a part and return the number of its value; it may be read at the present sample only."""
        return self.append(Part(source, first, units))

    def close(self, state: int, source: int) -> None:
        """Make `state` the value that `source` had one sample ago."""
        self.sources[state] = source

    def append(self, step: Step) -> int:
        """Append a step and return the number of its value."""
        self.steps.append(step)
        return self.last

    @property
    def last(self) -> int:
        """The number of the last value, which is y[t]."""
        return FIRST + len(self.steps) - 1

    @property
    def knobs(self) -> int | None:
        """The number of the knobs' value; None for a plan without."""
        return FIRST if self.steps and isinstance(self.steps[0], Knobs) else None

    @property
    def control(self) -> set[int]:
        """The values that depend on the knobs alone, these included."""
        return set() if self.knobs is None else self.feedforward({self.knobs})

    @property
    def control_outputs(self) -> set[int]:
        """The control values that steps at the rate of the audio read."""
        control = self.control
        read = (set(step.spans()) for value, step in self.values() if value not in control)
        return control.intersection(*[set().union(*read)])

    def step(self, value: int) -> Step:
        return self.steps[value - FIRST]

    def values(self) -> Iterator[tuple[int, Step]]:
        """(value number, step) in order of computation."""
        return enumerate(self.steps, start=FIRST)

    def width(self, value: int) -> int:
        """How many numbers a value is, at one sample."""
        return self.channels if value < FIRST else self.step(value).units

    def whole(self, value: int) -> int:
        """The value that another is a part of, or itself."""
        step = self.step(value) if value >= FIRST else None
        return self.whole(step.source) if isinstance(step, Part) else value

    def hidden_states(self) -> list[int]:
        """The states beside WET."""
        return [value for value, step in self.values() if isinstance(step, State)]

    def feedforward(self, inputs: Iterable[int] = (DRY,)) -> set[int]:
        """The values that depend on the inputs alone, these included."""
        known = set(inputs)
        for value, step in self.values():
            if not isinstance(step, State) and known.issuperset(step.spans()):
                known.add(value)
        return known

    @property
    def feedback(self) -> bool:
        """Whether some step reads the wet sample before."""
        return any(WET in step.spans() for step in self.steps)

    def reach(self) -> int:
        """Dry samples before the present one that a step reads, itself or through other feed-forward values."""
        early, seen, farthest = self.feedforward(), {DRY: 0}, 0
        for value, step in self.values():
            seen[value] = max(
                (seen[source] + span for source, span in step.spans().items() if source in early), default=0
            )
            farthest = max(farthest, seen[value])
        return farthest

    def histories(self) -> dict[int, int]:
        """For each value, how many samples of its past are read: by later steps, or as a state."""
        spans = dict.fromkeys(range(FIRST + len(self.steps)), 0)
        for step in self.steps:
            for source, span in step.spans().items():
                remembered = self.sources.get(source)
                spans[source] = max(spans[source], span)
                if remembered is not None:
                    spans[remembered] = max(spans[remembered], span + 1)
        return spans

    def multiply_adds(self) -> int:
        """Multiplications and additions, as pairs, for one sample."""
        return sum(step.multiply_adds() for step in self.steps)
