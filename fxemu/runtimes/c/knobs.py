"""Knobs in C: `NAME_set_knob` by value, and control values between points, as in every other player."""

from __future__ import annotations

from pathlib import Path
from string import Template

from fxemu.engine.plan import PERIOD, WET
from fxemu.engine.streaming.stream import OSCILLATING, REST_BLOCK, REST_SAMPLES, STILL
from fxemu.models.knobs import SMOOTHING_S, positions, smoothing
from fxemu.runtimes.base import Model
from fxemu.runtimes.c.plan import PlanInC, number

CODE, REST = Path(__file__).with_name("knobs.c"), Path(__file__).with_name("rest.c")


def declared(model: Model) -> dict[str, str]:
    """The parts of the header that a model with knobs has; empty for one without."""
    name, knobs = model.identifier, model.loop.knobs
    if not knobs:
        return dict.fromkeys(("knob_usage", "knob_numbers", "knob_members", "knob_function"), "")
    usage = {
        f"{name}_set_knob(&state, knob, value);": "in its unit; held in its range, and smoothed once it plays",
        f"{name}_settle(&state);": "to rest with the knobs where they stand; takes milliseconds",
    }
    numbers = [
        f"#define {name}_KNOB_{knob.name} {i} /* {knob.low:g} to {knob.high:g} {knob.unit}".rstrip()
        + f", at first {knob.default:g} */"
        for i, knob in enumerate(knobs)
    ]
    return {
        "knob_usage": "".join(f"\n *   {call:42} {what}" for call, what in usage.items()),
        "knob_numbers": "\n" + "\n".join([f"#define {name}_KNOBS {len(knobs)}", *numbers]),
        "knob_members": f"\n  int fresh, phase;\n  float aimed[{len(knobs)}], left[{len(knobs)}];",
        "knob_function": f"\nvoid {name}_set_knob({name}_state *s, int knob, float value);\n"
        + f"void {name}_settle({name}_state *s);",
    }


def start(model: Model) -> list[str]:
    """Lines that put the knobs at their defaults."""
    at = positions(model.loop.knobs, {}).tolist()
    return [*(f"s->aimed[{i}] = {number(x)};" for i, x in enumerate(at)), "s->fresh = 1;"] if at else []


def calls(model: Model) -> dict[str, str]:
    """What the functions that play have for the knobs: a run of samples ends at a point, and begins with a turn."""
    most = "n < BLOCK - s->t ? n : BLOCK - s->t"
    if not model.loop.knobs:
        return {"turn_knobs": "", "turned": "", "and_period": "", "most": most}
    return {
        "turn_knobs": "\n  if (s->phase == 0) turn(s);",
        "turned": f"\n  s->phase = (s->phase + n) % {PERIOD};",
        "and_period": f", and of the {PERIOD} from one point to the next",
        "most": f"before_point(s, {most})",
    }


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
        "forget": "\n".join(f"  memset(s->v{value}, 0, sizeof s->v{value});" for value in steps.partition.tapped),
        "warm_up": model.loop.warm_up,
        "rest": "",
        "come_to_rest": "",
        "period": PERIOD,
        "positions": steps.row(steps.plan.knobs),
        "point": "\n".join(f"  {line}" for line in steps.point()),
    }
    if steps.partition.tapped:
        parts |= {"rest": _rest(model, steps), "come_to_rest": "\n  come_to_rest(s);"}
    return Template(CODE.read_text()).substitute(parts)


def _rest(model: Model, steps: PlanInC) -> str:
    """The functions that play silence until the state is at rest."""
    # Before each sample the past of a value begins at the row of its number in the block.
    pasts = {
        f"s->v{v} + s->t * {steps.plan.width(v)}": steps.plan.width(v) * n for v, n in steps.partition.tapped.items()
    }
    parts = {
        "name": model.identifier,
        "period": PERIOD,
        "keep": "\n".join(f"  change = fmaxf(change, keep(kept, {at}, {n})), kept += {n};" for at, n in pasts.items()),
        "kept": sum(pasts.values()),
        "rest_block": REST_BLOCK,
        "rest_blocks": REST_SAMPLES // REST_BLOCK,
        "still": number(STILL),
        "oscillating": number(OSCILLATING),
    }
    return Template(REST.read_text()).substitute(parts)


def turned(model: Model, sample: int) -> list[str]:
    """Lines of the self check that turn the knobs before this sample."""
    values = model.turned_settings.values()
    lines = [f"{model.identifier}_set_knob(&state, {i}, {number(value)});" for i, value in enumerate(values)]
    return [f"if (i == {sample}) {{", *(f"  {line}" for line in lines), "}"] if lines else []
