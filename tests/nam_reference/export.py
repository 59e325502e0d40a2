"""Writes .nam files of small untrained predictors, to be played by `make_reference.py`."""

import sys
from pathlib import Path

import torch

from fxemu.models import LSTM, ConvNet, Linear, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from fxemu.runtimes import Model, export
from fxemu.runtimes.nam import Nam

MAKERS = {
    "lstm": lambda: LSTM(1, 1, width=4, memory_samples=100, feedback=False),
    "wavenet": lambda: WaveNet(1, 1, 4, dilations=[1, 2, 5], feedback=False),
    "linear": lambda: Linear(1, 1, 40, feedback=False),
    "convnet": lambda: ConvNet(1, 1, 4, dilations=[1, 2, 5], feedback=False),
    "gated": lambda: WaveNet(1, 1, 2, 1, kernel=2, dilations=[1, 9], activation="relu", gated=True, feedback=False),
}


def model(name: str) -> Model:
    torch.manual_seed(0)
    return Model(ClosedLoop(MAKERS[name](), Raw(), Raw()), 44_100, name)


if __name__ == "__main__":
    for name in MAKERS:
        print(export(model(name), Nam(), Path(sys.argv[1]) / f"{name}.nam"))
