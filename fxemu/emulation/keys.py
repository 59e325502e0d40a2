"""Knobs turned by the keys of a terminal while a model plays live."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from fxemu.models.knobs import Knob, positions, smoothed, values

# The first keys turn the first knob, and so on.
UP, DOWN = "qwertyui", "asdfghjk"
# How far a key turns a knob, of positions from -1 to 1.
KEY_STEP = 0.05


def turned(at: Tensor, key: str) -> Tensor:
    """Positions (K,) after a key, from `at` (K,); a key that turns none of the K knobs leaves them."""
    steps = torch.tensor([KEY_STEP * ((key == up) - (key == down)) for up, down in zip(UP, DOWN, strict=True)])
    return (at + steps[: at.numel()]).clamp(-1, 1)


class TurnByKeys:
    """Positions of K knobs as they are turned: each call gives those at the next so many points, (K, points).

    Args:
        knobs: of the model.
        settings: of some of them by name, at the start; the others stand at their defaults.
        rate: of the model, in Hz.

    Raises:
        KnobError: for a knob that there is not, or a value out of range.
    """

    def __init__(self, knobs: Sequence[Knob], settings: Mapping[str, float], rate: int) -> None:
        self.knobs, self.rate = knobs, rate
        self.start = self.aimed = self.last = positions(knobs, settings)

    def __call__(self, points: int) -> Tensor:
        moved = smoothed(self.aimed[:, None].expand(-1, points), self.last, self.rate)
        self.last = moved[:, -1] if points else self.last
        return moved

    def press(self, keys: str) -> None:
        """Turn the knobs as the keys say, one after another."""
        for key in keys:
            self.aimed = turned(self.aimed, key)

    def help(self) -> str:
        """What the keys do, such as `drive_db: q up, a down`."""
        return "; ".join(
            f"{knob.name}: {up} up, {down} down" for knob, up, down in zip(self.knobs, UP, DOWN, strict=False)
        )

    def __str__(self) -> str:
        units = {knob.name: f" {knob.unit}".rstrip() for knob in self.knobs}
        return ", ".join(f"{name} {value:.4g}{units[name]}" for name, value in values(self.knobs, self.aimed).items())


def has_keys() -> bool:
    """Whether keys can be read one by one: from a terminal, in whose foreground this process is, not on Windows."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return False


@contextmanager
def keys_pressed() -> Iterator[Callable[[float], str]]:
    """Read keys without Enter while the context lasts; call with the seconds to wait at most for the ones pressed."""
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def wait(seconds: float) -> str:
        keys = os.read(terminal, 64) if select.select([terminal], [], [], seconds)[0] else None
        if keys == b"":  # the terminal's end, which would be read again at once
            time.sleep(seconds)
        return (keys or b"").decode(errors="replace")

    try:
        # Ctrl-C still interrupts.
        tty.setcbreak(terminal)
        yield wait
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
