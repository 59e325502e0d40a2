"""Models as files for other runtimes: one file a format, all with the protocol of `base.Format`."""

from fxemu.export.base import ExportError, Format, Model, export
from fxemu.export.c import C

FORMATS: dict[str, type[Format]] = {"c": C}

__all__ = ["FORMATS", "ExportError", "Format", "Model", "export"]
