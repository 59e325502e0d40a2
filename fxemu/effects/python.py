"""A user's Python function as an effect, named by its dotted path."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from torch import Tensor

from fxemu.effects.base import Effect, EffectError, from_array


class Python(Effect):
    """wet = function(dry, **settings), with sample_rate=... if it has such an argument.

    It imports and runs the named module, from the current folder or wherever Python finds modules: use it for your own
    code only. The import waits until audio is processed, so reading a config imports nothing. Wet is not cached on
    disk, since the function may depend on anything.

    Args:
        function: module and name, such as `my_effects.fuzz`; from float32 (samples,) to an array of the same length.
        settings: further arguments of the function, by name; where its knobs stand.
    """

    memory_s = None
    knob_option = "settings"

    def __init__(self, function: str | None = None, settings: Mapping[str, float] | None = None) -> None:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", str(function)):
            raise ValueError(f"function: got {function!r}; must be a module and a name, such as my_effects.fuzz")
        self.function, self.settings = function, dict(settings or {})

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        function = _imported(self.function)
        rate = {"sample_rate": sample_rate} if "sample_rate" in inspect.signature(function).parameters else {}
        try:
            # The function gets a copy, for it may work in place.
            wet = function(dry.numpy().copy(), **self.settings, **rate)
        except (Exception, SystemExit) as error:
            words = " / ".join(str(error).splitlines())
            raise EffectError(f"function {self.function} raised {type(error).__name__}: {words}") from error
        return from_array(wet, f"function {self.function}")


def _imported(path: str) -> Callable[..., object]:
    module, name = path.rsplit(".", 1)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        raise EffectError(f"function {path}: cannot be imported ({type(error).__name__}: {error})") from error
    if not callable(function):
        raise EffectError(f"function {path}: is a {type(function).__name__}; must be a function")
    return function
