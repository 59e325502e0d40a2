"""fxemu trains a neural network to be an audio effect."""

__version__ = "0.1.0"
