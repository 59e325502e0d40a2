"""A model as an LV2 plugin: a bundle that a host loads once it lies in a folder of its LV2 path, such as ~/.lv2.

A bundle is a folder `*.lv2`, NAME being the model's name as an identifier of C. It holds

    manifest.ttl                     what a host reads first: the plugin's URI, and where its code and description are
    NAME.ttl                         the description: title, audio input and output, latency, gains, bypass and knobs
    NAME.c                           the source: the model as C (`format.py`), and the plugin around it (`lv2_plugin.c`)
    NAME.so                          that source compiled for this kind of machine
    model.safetensors, model.json    the trained model (`models/files.py`), from which fxemu plays the bundle
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
import torch

from fxemu.models.knobs import Knob
from fxemu.runtimes.base import TURNED_AT, ExportError, Format, Model, compared, put_files
from fxemu.runtimes.c.format import HOST_RATES_HZ, source

PLUGIN = Path(__file__).with_name("lv2_plugin.c")
# For any machine of this kind, not for this one alone.
FLAGS = ("-std=c99", "-O3", "-ffast-math", "-fPIC", "-c")
COMPILE_SECONDS = 300
BLOCK = 64
# In the order of their numbers; those of the knobs follow.
PORTS = ("dry", "wet", "latency", "input_gain", "output_gain", "enabled")

MANIFEST = """@prefix lv2: <http://lv2plug.in/ns/lv2core#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .

<$uri> a lv2:Plugin ; lv2:binary <$name.so> ; rdfs:seeAlso <$name.ttl> .
"""
DESCRIPTION = """@prefix lv2: <http://lv2plug.in/ns/lv2core#> .
@prefix doap: <http://usefulinc.com/ns/doap#> .
@prefix pprops: <http://lv2plug.in/ns/ext/port-props#> .
@prefix units: <http://lv2plug.in/ns/extensions/units#> .

<$uri> a lv2:Plugin , lv2:SimulatorPlugin ;
  doap:name "$title" ;
  lv2:optionalFeature lv2:hardRTCapable ;
  lv2:port
    [ a lv2:InputPort , lv2:AudioPort ; lv2:index 0 ; lv2:symbol "dry" ; lv2:name "Dry" ] ,
    [ a lv2:OutputPort , lv2:AudioPort ; lv2:index 1 ; lv2:symbol "wet" ; lv2:name "Wet" ] ,
    [ a lv2:OutputPort , lv2:ControlPort ; lv2:index 2 ; lv2:symbol "latency" ; lv2:name "Latency" ;
      lv2:portProperty lv2:reportsLatency , lv2:integer , lv2:connectionOptional ; lv2:designation lv2:latency ;
      lv2:minimum 0 ; lv2:maximum 8192 ; units:unit units:frame ] ,
    [ a lv2:InputPort , lv2:ControlPort ; lv2:index 3 ; lv2:symbol "input_gain" ; lv2:name "Input gain" ;
      lv2:default 0.0 ; lv2:minimum -60.0 ; lv2:maximum 60.0 ; units:unit units:db ] ,
    [ a lv2:InputPort , lv2:ControlPort ; lv2:index 4 ; lv2:symbol "output_gain" ; lv2:name "Output gain" ;
      lv2:default 0.0 ; lv2:minimum -60.0 ; lv2:maximum 60.0 ; units:unit units:db ] ,
    [ a lv2:InputPort , lv2:ControlPort ; lv2:index 5 ; lv2:symbol "enabled" ; lv2:name "Enabled" ;
      lv2:designation lv2:enabled ; lv2:portProperty lv2:toggled , lv2:integer , lv2:connectionOptional ;
      lv2:default 1 ; lv2:minimum 0 ; lv2:maximum 1 ]$knob_ports .
"""


class Lv2(Format):
    """An LV2 bundle, mono, with its C source; it plays at any rate from 22.05 to 192 kHz. Needs a C compiler."""

    suffix = ".lv2"
    holds_pair = True
    oversamples = True
    turnable = True

    def write(self, model: Model, path: Path) -> None:
        path.mkdir()
        title = "".join(c for c in model.name if c.isprintable() and c not in '"\\')
        low, high = HOST_RATES_HZ
        parts = {"name": model.identifier, "uri": uri(model), "title": title, "lowest_rate": low, "highest_rate": high}
        parts |= _knob_parts(model)
        for name, text in (("manifest", MANIFEST), (model.identifier, DESCRIPTION)):
            (path / f"{name}.ttl").write_text(Template(text).substitute(parts), encoding="utf-8")
        code = path / f"{model.identifier}.c"
        code.write_text(source(replace(model, files={}))[1] + Template(PLUGIN.read_text()).substitute(parts))
        _compile(code, path / f"{model.identifier}.so")
        put_files(model, path)

    def check(self, model: Model, path: Path) -> str:
        dry, wet = model.reference_pair()
        plugin = Plugin(path / f"{model.identifier}.so", model.sample_rate, model.loop.knobs)
        before, after = dry.numpy()[:TURNED_AT], dry.numpy()[TURNED_AT:]
        played = [plugin.play(before)]
        plugin.turn(model.turned_settings)
        played = np.concatenate([*played, plugin.play(after)])
        return compared(model, torch.from_numpy(played), wet, f"the LV2 plugin {uri(model)}")


def uri(model: Model) -> str:
    """The plugin's identity for hosts, which no other name gives."""
    return f"urn:fxemu:{quote(unicodedata.normalize('NFC', model.name), safe='', errors='surrogateescape')}"


def _compile(code: Path, library: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise ExportError("lv2 needs a C compiler (cc), and there is none here: install one, or export to c")
    with tempfile.TemporaryDirectory() as folder:
        compiled = str(Path(folder) / "plugin.o")
        # Linked without -ffast-math, which would change how the whole host rounds.
        for command in ([*FLAGS, str(code), "-o", compiled], ["-shared", compiled, "-o", str(library), "-lm"]):
            done = subprocess.run([compiler, *command], capture_output=True, text=True, timeout=COMPILE_SECONDS)
            if done.returncode:
                raise ExportError(f"the plugin does not compile: {done.stderr.strip()[:300]}")


def _knob_port(index: int, knob: Knob) -> str:
    """A control port of a knob, as the description has it."""
    words = knob.name.split("_")
    shown = " ".join(words[:-1] if knob.unit and len(words) > 1 else words).capitalize()
    unit = f" ; units:unit units:{knob.unit.lower()}" if knob.unit else ""
    ratio = " ; lv2:portProperty pprops:logarithmic" if knob.by_ratio else ""
    low, high, default = (f"{float(x):.9g}" for x in (knob.low, knob.high, knob.default))
    return f""" ,
    [ a lv2:InputPort , lv2:ControlPort ; lv2:index {index} ; lv2:symbol "{_symbol(knob)}" ; lv2:name "{shown}" ;
      lv2:minimum {low} ; lv2:maximum {high} ; lv2:default {default}{unit}{ratio} ]"""


def _symbol(knob: Knob) -> str:
    return f"{knob.name}_" if knob.name in PORTS else knob.name


def _knob_parts(model: Model) -> dict[str, str]:
    """What description and plugin have for the knobs."""
    turn = (
        f"if (p->ports[PORTS + k]) {model.identifier}_set_knob(&p->host.model, k, *(const float *)p->ports[PORTS + k]);"
    )
    return {
        "knob_ports": "".join(map(_knob_port, count(len(PORTS)), model.loop.knobs)),
        "knobs": str(len(model.loop.knobs)),
        "turn_knobs": f"\n  for (int k = 0; k < KNOBS; k++)\n    {turn}" if model.loop.knobs else "",
    }


class _Descriptor(ctypes.Structure):
    _fields_ = (
        ("uri", ctypes.c_char_p),
        ("instantiate", ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p, ctypes.c_double] + [ctypes.c_void_p] * 2)),
        ("connect_port", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)),
        ("activate", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("run", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)),
        ("deactivate", ctypes.c_void_p),
        ("cleanup", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("extension_data", ctypes.c_void_p),
    )


class Plugin:
    """A plugin as a host loads it: `ports` are arrays of what is written to or read from it, by symbol.

    Args:
        library: NAME.so.
        sample_rate: of the host, in Hz.
        knobs: of the model.
    """

    def __init__(self, library: Path, sample_rate: int, knobs: Sequence[Knob] = ()) -> None:
        find = ctypes.CDLL(str(library)).lv2_descriptor
        find.restype = ctypes.POINTER(_Descriptor)
        self.descriptor = find(0).contents
        self.handle = self.descriptor.instantiate(None, float(sample_rate), None, None)
        self.ports = {name: np.zeros(BLOCK if name in ("dry", "wet") else 1, np.float32) for name in PORTS}
        self.ports["enabled"][0] = 1
        self.ports |= {_symbol(knob): np.array([knob.default], np.float32) for knob in knobs}
        for number, values in enumerate(self.ports.values()):
            self.descriptor.connect_port(self.handle, number, values.ctypes.data)
        self.activate()

    def turn(self, settings: Mapping[str, float]) -> None:
        """Turn knobs to values, in the order of their ports."""
        for port, value in zip(list(self.ports.values())[len(PORTS) :], settings.values(), strict=True):
            port[0] = value

    def activate(self) -> None:
        self.descriptor.activate(self.handle)

    def play(self, dry: np.ndarray) -> np.ndarray:
        """Samples (T,), block by block."""
        played = np.empty_like(dry)
        for start in range(0, dry.size, BLOCK):
            part = dry[start : start + BLOCK]
            self.ports["dry"][: part.size] = part
            self.descriptor.run(self.handle, part.size)
            played[start : start + BLOCK] = self.ports["wet"][: part.size]
        return played

    def __del__(self) -> None:
        self.descriptor.cleanup(self.handle)
