"""The loops of training on other devices than the CPU: those of `numba_loops.py` as operations of PyTorch.

All streams of a batch lie side by side (`layout.lanes` of them), so that each operation spans the whole batch, writes
in place and waits for nothing: for an MLP a product and an activation a layer and sample. Slopes of activations
are computed for all samples at once. Shapes: K samples, U units, B batch, W width, N taps.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fxemu.engine.activations import RECORDS, activate
from fxemu.engine.layout import Layout
from fxemu.engine.lookup import look_up, row_below
from fxemu.engine.plan import Activation, Layer, Lookup, Mix, Product, Term

# One sample of one step: what to do at sample t.
At = Callable[[int], None]

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": Tensor.tanh_,
    "relu": Tensor.relu_,
    "sigmoid": Tensor.sigmoid_,
}


def forward(layout: Layout, memory: Tensor, forced: bool = False) -> None:
    """Run the loop in place over memory (1, layout.size) that is silent (what a mix sums up begins there as zero).

    `forced` as in `lanes.run_forward`.
    """
    steps = [_forward(layout, memory, value) for value in layout.looping[: -1 if forced else None]]
    for t in range(layout.samples):
        for at in steps:
            at(t)


def backward(layout: Layout, memory: Tensor, grads: Tensor, forced: bool = False) -> None:
    """Turn the gradients of outputs in `grads` into those before each activation and of all that was read."""
    values = layout.looping[: -1 if forced else None]
    steps = [at for value in reversed(values) for at in _backward(layout, memory, grads, value)]
    for t in reversed(range(layout.samples)):
        for at in steps:
            at(t)


def _forward(layout: Layout, memory: Tensor, value: int) -> At:
    step, out = layout.plan.step(value), layout.now(memory, value)[0]
    z = out.unbind()
    if isinstance(step, Layer):
        # A precomputed part lies in the rows of the layer already; a bias alone is one row for all samples.
        if not layout.driven(value):
            drive = layout.drives[value]
            out.copy_(memory[0, drive.start : drive.end].view(-1, layout.lanes))
        parts = [_add_products(term, layout, memory, z) for term in layout.partition.looping_terms(value)]
    elif isinstance(step, Mix):
        parts = [_add_product(product, layout, memory, z) for product in step.products]
    else:
        parts = [_look_up(step, layout, memory, z)]

    in_place = IN_PLACE.get(step.activation.kind)

    def at(t: int) -> None:
        for part in parts:
            part(t)
        if in_place is not None:
            in_place(z[t])
        elif step.activation.kind != "identity":
            z[t].copy_(activate(z[t][None], step.activation)[0])

    return at


def _add_products(term: Term, layout: Layout, memory: Tensor, z: tuple[Tensor, ...]) -> At:
    pairs = [(w, x[0].unbind()) for w, x in _weighted(term, layout, memory)]

    def at(t: int) -> None:
        for weight, x in pairs:
            z[t].addmm_(weight, x[t])

    return at


def _add_product(product: Product, layout: Layout, memory: Tensor, z: tuple[Tensor, ...]) -> At:
    a, *b = (_present(layout, memory, factor) for factor in product.factors)
    if isinstance(product.scale, Tensor):
        scale = product.scale.detach()[:, None]
        return lambda t: z[t].addcmul_(a[t], scale * b[0][t] if b else scale)
    if b:
        return lambda t: z[t].addcmul_(a[t], b[0][t], value=product.scale)
    return lambda t: z[t].add_(a[t], alpha=product.scale)


def _look_up(step: Lookup, layout: Layout, memory: Tensor, z: tuple[Tensor, ...]) -> At:
    x, table = _present(layout, memory, step.source), step.table.detach()
    return lambda t: z[t].copy_(look_up(table, x[t][None], step.nearest)[0])


def _backward(layout: Layout, memory: Tensor, grads: Tensor, value: int) -> list[At]:
    step, delta = layout.plan.step(value), layout.now(grads, value)[0].unbind()
    if isinstance(step, Layer):
        steps = [_pull_back_sum(term, layout, grads, delta) for term in layout.partition.looping_terms(value)]
    elif isinstance(step, Mix):
        steps = [_pull_back_product(product, layout, memory, grads, delta) for product in step.products]
    else:
        steps = [_pull_back_lookup(step, layout, memory, grads, delta)]
    if step.activation.kind == "identity":
        return steps
    return [_pull_back_activation(layout.now(memory, value)[0], delta, step.activation), *steps]


def _pull_back_activation(y: Tensor, delta: tuple[Tensor, ...], activation: Activation) -> At:
    """The gradient of outputs y (K, U, B) to that before the activation, in place."""
    record, p = RECORDS[activation.kind], activation.parameter
    if record.slope is None:
        return lambda t: delta[t].copy_(record.pull_back(y[t], delta[t], p))
    slope = record.slope(y, p).expand_as(y).unbind()
    return lambda t: delta[t].mul_(slope[t])


def _pull_back_sum(term: Term, layout: Layout, grads: Tensor, delta: tuple[Tensor, ...]) -> At:
    pairs = [(w.t(), x[0].unbind()) for w, x in _weighted(term, layout, grads)]

    def at(t: int) -> None:
        for weight, grad in pairs:
            grad[t].addmm_(weight, delta[t])

    return at


def _pull_back_product(
    product: Product, layout: Layout, memory: Tensor, grads: Tensor, delta: tuple[Tensor, ...]
) -> At:
    a, b = product.factors[0], product.factors[-1]
    scale = product.scale.detach()[:, None] if isinstance(product.scale, Tensor) else product.scale
    to_a, to_b = (_present(layout, grads, factor) for factor in (a, b))
    if len(product.factors) == 1:
        return lambda t: to_a[t].add_(delta[t] * scale)
    of_a, of_b = (_present(layout, memory, factor) for factor in (a, b))

    def at(t: int) -> None:
        scaled = delta[t] * scale
        to_a[t].addcmul_(scaled, of_b[t])
        to_b[t].addcmul_(scaled, of_a[t])

    return at


def _pull_back_lookup(step: Lookup, layout: Layout, memory: Tensor, grads: Tensor, delta: tuple[Tensor, ...]) -> At:
    """The gradient to the place read in a table: the slope between the rows around it, none beyond the table's ends."""
    x, grad = (_present(layout, where, step.source) for where in (memory, grads))
    table = step.table.detach()
    rises = (table[1:] - table[:-1]) * ((table.shape[0] - 1) / 2)

    def at(t: int) -> None:
        place = x[t][0]
        low, _ = row_below(place, table.shape[0])
        grad[t].add_((rises[low].t() * delta[t]).sum(0) * (place.abs() <= 1))

    return at


def _weighted(term: Term, layout: Layout, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights (U, n W) and what they weigh, (1, K, n W, B), for each stretch of n taps."""
    weight = term.weight.detach().transpose(1, 2)
    windows = layout.windows(memory, term)
    taps = weight.shape[1] // len(windows)
    parts = weight.split(taps, dim=1)
    return [(part.flatten(1), x) for part, x in zip(parts, windows, strict=True)]


def _present(layout: Layout, memory: Tensor, value: int) -> tuple[Tensor, ...]:
    """A value at each sample of the block: K times (W, B)."""
    return layout.delayed(memory, value)[0].unbind()
