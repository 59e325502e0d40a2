"""An effect with the knobs that a config asks for."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from fxemu.effects import Effect, Recorded
from fxemu.effects.knobs import Turned
from fxemu.errors import ConfigError
from fxemu.models.knobs import MOST_KNOBS, Knob


def turned(section: DictConfig, asked: DictConfig) -> Turned | Recorded:
    """The effect of a config with knobs, `asked` by name, each with its lowest and its highest value.

    Raises:
        ConfigError: for a knob that the effect does not have, or a range that is none.
        ValueError: for a range that the effect does not take.
    """
    ranges = OmegaConf.to_container(asked, resolve=True)
    if not isinstance(ranges, dict) or len(ranges) > MOST_KNOBS:
        raise ConfigError(f"knobs: got {ranges!r}; must be up to {MOST_KNOBS} names, each with a range")
    options = OmegaConf.to_container(section, resolve=True)
    if options["_target_"] == "fxemu.effects.Recorded":
        return instantiate(options).with_knobs(
            [_knob(str(name), span, {}, "knobs.csv") for name, span in ranges.items()]
        )
    own = {name: x for name, x in options.items() if isinstance(x, Real) and not isinstance(x, bool)}
    where = getattr(get_class(options["_target_"]), "knob_option", None)
    knobs = [_knob(str(name), span, own, where) for name, span in ranges.items()]

    def build(settings: Mapping[str, float | Tensor]) -> Effect:
        if where is None:
            return instantiate(options, **settings)
        return instantiate({**options, where: {**(options.get(where) or {}), **settings}})

    return Turned(build, knobs)


def _knob(name: str, span: object, own: Mapping[str, float], where: str | None) -> Knob:
    """A knob of an effect with these numeric options; `where`: the option that takes its settings, if they have one."""
    if where is None and name not in own:
        raise ConfigError(f"knobs.{name}: the effect has no such option with a range; it has: {', '.join(own)}")
    if not isinstance(span, list) or len(span) != 2:
        raise ConfigError(f"knobs.{name}: got {span!r}; must be the lowest and the highest value, such as [0, 40]")
    low, high = span
    knob = Knob(name, low, high, low)
    default = own.get(name, low) if where is None else None
    inside = default is not None and low <= default <= high
    return Knob(name, low, high, float(default) if inside else knob.value(0.0))
