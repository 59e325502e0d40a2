"""Arguments from outside against signatures: names, and types of numbers, truth values, texts and lists."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from fxemu.arguments import check_arguments


class Part:
    def __init__(
        self,
        count: int = 1,
        share: float = 0.5,
        on: bool = True,
        name: str | None = None,
        gains: Sequence[float] | None = None,
        path: Path | None = None,
    ) -> None: ...


def anything(count: int = 0, **more: object) -> None: ...


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"count": -3, "share": 1, "on": False, "name": "a", "gains": [1, 2.5], "path": "x"},
        {"share": math.inf, "name": 2024, "gains": None},
        {"name": None, "path": None},
    ],
)
def test_what_fits_passes(given):
    assert check_arguments(Part, given, "part") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 1.0}, "part.count: got 1.0; must be a whole number"),
        ({"count": True}, "part.count: got True; must be a whole number"),
        ({"count": None}, "part.count: got None; must be a whole number"),
        ({"share": "0.5"}, "part.share: got '0.5'; must be a number"),
        ({"share": False}, "part.share: got False; must be a number"),
        ({"on": "no"}, "part.on: got 'no'; must be true or false"),
        ({"on": 1}, "part.on: got 1; must be true or false"),
        ({"name": ["a"]}, "part.name: got ['a']; must be text or null"),
        ({"gains": 5}, "part.gains: got 5; must be a list, as [1,2], or null"),
        ({"gains": "ab"}, "part.gains: got 'ab'; must be a list, as [1,2], or null"),
        ({"cuont": 1}, "part.cuont: Part has no such argument; it has count, share, on, name, gains, path"),
    ],
)
def test_what_does_not_is_named(given, message):
    with pytest.raises(ValueError) as caught:
        check_arguments(Part, given, "part")
    assert str(caught.value) == message


def test_a_function_that_takes_any_keyword_takes_any_name_but_still_types():
    check_arguments(anything, {"count": 1, "else": "x"}, "f")
    with pytest.raises(ValueError, match="whole number"):
        check_arguments(anything, {"count": "1"}, "f")
