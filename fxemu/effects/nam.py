"""A model captured with Neural Amp Modeler, from a .nam file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from fxemu.effects.base import Effect, EffectError
from fxemu.engine.streaming.stream import render
from fxemu.runtimes.reading import ForeignError, read


class Nam(Effect):
    """The model in a .nam file as an effect, at the model's own sample rate.

    Args:
        path: the file; it is plain data, and no code in it is run.
    """

    def __init__(self, path: str | None = None) -> None:
        if not path:
            raise ValueError(f"path: got {path!r}; must be a .nam file")
        try:
            self.path, self.model = path, read(path)
        except ForeignError as error:
            raise ValueError(f"path: {error}") from error
        recurrent = self.model.plan().hidden_states()
        self.memory_s = None if recurrent else self.model.warm_up / self.model.sample_rate

    def identity(self) -> str:
        return f"nam {hashlib.sha256(Path(self.path).read_bytes()).hexdigest()}"

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        if sample_rate != self.model.sample_rate:
            raise EffectError(
                f"effect nam: {self.path} was captured at {self.model.sample_rate} Hz, and the audio is at "
                f"{sample_rate} Hz: set data.sample_rate={self.model.sample_rate}"
            )
        return render(self.model, dry)
