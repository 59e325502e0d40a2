"""Durations in Lightning's notation, days:hours:minutes:seconds."""

from __future__ import annotations

import math


def seconds_of(max_time: str | None) -> float:
    """days:hours:minutes:seconds in s; infinity for None."""
    if max_time is None:
        return math.inf
    days, hours, minutes, seconds = map(int, str(max_time).split(":"))
    return 86_400 * days + 3600 * hours + 60 * minutes + seconds


def time_of(seconds: float) -> str | None:
    """Seconds, 1 at least, as days:hours:minutes:seconds; None for infinity."""
    if math.isinf(seconds):
        return None
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{rest:02}"
