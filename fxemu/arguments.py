"""Arguments from a config or a file, checked against the signature of the class that they are for."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def check_arguments(kind: Callable[..., Any], given: Mapping[str, Any], place: str) -> None:
    """Check the names of arguments, and the types of those that are declared as numbers, truth values or lists.

    Values of other types, and whether numbers are in range, are left to `kind` itself.

    Args:
        kind: a class or a function.
        given: arguments by name, of those types that YAML and JSON have.
        place: of the arguments in their config or file.

    Raises:
        ValueError: for an argument that `kind` does not have, or that is of another type than declared.
    """
    parameters = inspect.signature(kind).parameters
    declared = get_type_hints(kind.__init__ if inspect.isclass(kind) else kind)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, value in given.items():
        if name not in parameters and not open_ended:
            names = ", ".join(n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD)
            raise ValueError(f"{place}.{name}: {kind.__name__} has no such argument; it has {names or 'none'}")
        allowed = _alternatives(declared.get(name, Any))
        if not any(_fits(value, each) for each in allowed):
            raise ValueError(f"{place}.{name}: got {value!r}; must be {' or '.join(map(_word, allowed))}")


def _alternatives(declared: Any) -> tuple[Any, ...]:
    return get_args(declared) if get_origin(declared) in (Union, types.UnionType) else (declared,)


def _fits(value: Any, declared: Any) -> bool:
    """Whether a value may be of a type; True for types that are not looked into."""
    if declared is bool or declared is type(None):
        return isinstance(value, declared)
    if declared in (int, float):
        return isinstance(value, (int, declared)) and not isinstance(value, bool)
    if declared is str:
        return not isinstance(value, (list, dict)) and value is not None
    if _is_list(declared):
        return isinstance(value, (list, tuple))
    return True


def _is_list(declared: Any) -> bool:
    origin = get_origin(declared) or declared
    return inspect.isclass(origin) and issubclass(origin, Sequence) and origin is not str


def _word(declared: Any) -> str:
    return "a list, as [1,2]," if _is_list(declared) else WORDS.get(declared, str(declared))
