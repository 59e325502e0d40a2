"""Models as files for other runtimes: one file a format, all with the protocol of `base.Format`."""

from fxemu.runtimes.aidax import AidaX
from fxemu.runtimes.base import ExportError, Format, Model, export
from fxemu.runtimes.c import C, Lv2
from fxemu.runtimes.nam import Nam
from fxemu.runtimes.onnx import Onnx
from fxemu.runtimes.proteus import Proteus
from fxemu.runtimes.rtneural import RTNeural
from fxemu.runtimes.torchscript import TorchScript

FORMATS: dict[str, type[Format]] = {
    "c": C,
    "lv2": Lv2,
    "onnx": Onnx,
    "torchscript": TorchScript,
    "nam": Nam,
    "rtneural": RTNeural,
    "aidax": AidaX,
    "proteus": Proteus,
}

__all__ = ["FORMATS", "ExportError", "Format", "Model", "export"]
