"""`effect=python`: the user's function runs when audio is processed, and at no other time."""

import sys

import numpy as np
import pytest
import torch

from fxemu.effects import EffectError, Python

MODULE = """
import pathlib
pathlib.Path("imported").touch()
import numpy as np
def half(dry): dry *= 0.5; return dry
def rate(dry, sample_rate): return np.full(len(dry), float(sample_rate))
def integers(dry): return (32767 * dry).astype(np.int16)
def short(dry): return dry[:-1]
def broken(dry): raise RuntimeError("no\\nknob")
def leaving(dry): raise SystemExit(3)
def words(dry): return ["a"] * len(dry)
number = 5
import torch
def tensor(dry): return torch.as_tensor(dry).requires_grad_() * 0.5
def bfloat(dry): return torch.as_tensor(dry).bfloat16() * 0.5
def big_endian(dry): return (dry * 0.5).astype(">f4")
def long_double(dry): return dry.astype(np.longdouble) * 0.5
def backwards(dry): return (0.5 * dry)[::-1]
def numbers(dry): return [float(x) / 2 for x in dry]
def listed(dry): return [x * 0.5 for x in torch.as_tensor(dry).requires_grad_()]
def nothing(dry): return None
def lazily(dry): yield from dry
def complicated(dry): return dry * 1j
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "own_effects.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_effects", raising=False)
    return tmp_path


def test_the_module_is_imported_when_audio_is_processed_and_not_before(module):
    effect = Python("own_effects.half")
    assert not (module / "imported").exists()
    dry = torch.ones(10)
    assert torch.equal(effect(dry), dry / 2)
    assert torch.equal(dry, torch.ones(10)), "dry was changed"


def test_a_function_gets_the_sample_rate_if_it_has_that_argument():
    assert torch.equal(Python("own_effects.rate")(torch.ones(3), 8000), torch.full((3,), 8000.0))


@pytest.mark.parametrize("name", ["tensor", "bfloat", "big_endian", "long_double", "backwards", "numbers"])
def test_floats_of_every_kind_are_samples(name):
    assert torch.equal(Python(f"own_effects.{name}")(torch.ones(4)), torch.full((4,), 0.5))


def test_a_function_of_another_package_is_an_effect():
    dry = torch.linspace(-1, 1, 5)
    assert np.allclose(Python("numpy.tanh")(dry), np.tanh(dry.numpy()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "it must return as many samples as it gets"),
        ("broken", "raised RuntimeError: no / knob"),
        ("leaving", "raised SystemExit: 3"),
        ("words", "must return samples as floats"),
        ("integers", "returned int16 values; .* divide them by their full scale, such as 32768"),
        ("listed", "returned no array of samples"),
        ("nothing", "must return samples as floats"),
        ("lazily", "must return samples as floats"),
        ("complicated", "must return samples as floats"),
        ("number", "is a int; must be a function"),
        ("missing", "cannot be imported .AttributeError"),
    ],
)
def test_each_failure_is_a_clear_error(name, message):
    with pytest.raises(EffectError, match=message):
        Python(f"own_effects.{name}")(torch.ones(10))


@pytest.mark.parametrize("function", [None, "fuzz", "a.b; import os", "../a.b", ""])
def test_a_bad_name_is_refused_at_construction(function):
    with pytest.raises(ValueError, match="must be a module and a name"):
        Python(function)
