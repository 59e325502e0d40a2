"""Models as files for other runtimes: one file a format, all with the protocol of `base.Format`."""

from fxemu.export.aidax import AidaX
from fxemu.export.base import ExportError, Format, Model, export
from fxemu.export.c import C
from fxemu.export.lv2 import Lv2
from fxemu.export.nam import Nam
from fxemu.export.onnx import Onnx
from fxemu.export.proteus import Proteus
from fxemu.export.rtneural import RTNeural
from fxemu.export.torchscript import TorchScript

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
