"""Knobs in C: `NAME_set_knob` by value, and control values between points, as in every other player."""

from __future__ import annotations

from pathlib import Path
from string import Template

from fxemu.engine.plan import PERIOD, WET
from fxemu.engine.streaming.stream import OSCILLATING, REST_BLOCK, REST_SAMPLES, STILL
from fxemu.models.knobs import SMOOTHING_S, positions, smoothing
from fxemu.runtimes.base import Model
from fxemu.runtimes.c.plan import PlanInC, number

CODE = Path(__file__).with_name("knobs.c")


def declared(model: Model) -> dict[str, str]:
    """The parts of the header that a model with knobs has; empty for one without."""
    name, knobs = model.identifier, model.loop.knobs
    if not knobs:
        return dict.fromkeys(("knob_usage", "knob_numbers", "knob_members", "knob_function"), "")
    numbers = [
        f"#define {name}_KNOB_{knob.name} {i} /* {knob.low:g} to {knob.high:g} {knob.unit}".rstrip()
        + f", at first {knob.default:g} */"
        for i, knob in enumerate(knobs)
    ]
    return {
        "knob_usage": f"\n *   {name}_set_knob(&state, knob, value);      in its unit; held in its range, and smoothed",
        "knob_numbers": "\n" + "\n".join([f"#define {name}_KNOBS {len(knobs)}", *numbers]),
        "knob_members": f"\n  int fresh, phase;\n  float aimed[{len(knobs)}], left[{len(knobs)}];",
        "knob_function": f"\nvoid {name}_set_knob({name}_state *s, int knob, float value);",
    }


def start(model: Model) -> list[str]:
    """Lines that put the knobs at their defaults."""
    at = positions(model.loop.knobs, {}).tolist()
    return [*(f"s->aimed[{i}] = {number(x)};" for i, x in enumerate(at)), "s->fresh = 1;"] if at else []


def code(model: Model, steps: PlanInC) -> str:
    """The functions of a model with knobs; empty for one without."""
    if not model.loop.knobs:
        return ""
    # Where the last wet sample is.
    fed_back = steps.row(WET) if steps.plan.feedback else None
    tapers = [
        f"{{{', '.join(map(number, (knob.low, knob.high, *knob.taper)))}, {int(knob.by_ratio)}}}"
        for knob in model.loop.knobs
    ]
    parts = {
        "name": model.identifier,
        "tapers": ",\n  ".join(tapers),
        "smoothing_ms": f"{1000 * SMOOTHING_S:g}",
        "kept": number(smoothing(model.sample_rate)),
        "silence": "" if fed_back is None else f"\n    {{ const int t = s->t; *({fed_back}) = 0.0f; }}",
        "warm_up": model.loop.warm_up,
        "rest_block": REST_BLOCK,
        "rest_blocks": REST_SAMPLES // REST_BLOCK,
        "still": number(STILL),
        "oscillating": number(OSCILLATING),
        "period": PERIOD,
        "positions": steps.row(steps.plan.knobs),
        "point": "\n".join(f"  {line}" for line in steps.point()),
    }
    return Template(CODE.read_text()).substitute(parts)


def turned(model: Model, sample: int) -> list[str]:
    """Lines of the self check that turn the knobs before this sample."""
    values = model.turned_settings.values()
    lines = [f"{model.identifier}_set_knob(&state, {i}, {number(value)});" for i, value in enumerate(values)]
    return [f"if (i == {sample}) {{", *(f"  {line}" for line in lines), "}"] if lines else []
