"""Audio interfaces, through sounddevice: play and record a signal, or process the input live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fxemu.errors import UserError

Array = NDArray[np.float32]


class DeviceError(UserError):
    """No audio interface can do this; the message says why and what to do."""


def play_and_record(signal: Tensor, sample_rate: int, device: str | None = None) -> Tensor:
    """Play signal (samples,) while recording, to half a second after its end; returns the recording, float32 mono.

    Raises:
        DeviceError: without sounddevice, PortAudio or an interface, or if the interface refuses.
    """
    sounddevice = _sounddevice("capture play", "play the file elsewhere, then fxemu capture read")
    padded = torch.nn.functional.pad(signal, (0, sample_rate // 2)).numpy()
    with _refusals(sounddevice, device):
        recorded = sounddevice.playrec(padded[:, None], sample_rate, channels=1, device=_number(device), blocking=True)
    return torch.from_numpy(recorded[:, 0].copy())


@contextmanager
def playing(
    process: Callable[[Array, bool], Array], sample_rate: int, block_samples: int, device: str | None = None
) -> Iterator[Any]:
    """Play the interface's input, processed, while the context lasts.

    Args:
        process: called in its own thread with each block (samples,), float32, of the first input, and with whether
            samples were lost before it; returns as many samples, which go to up to two outputs.
        sample_rate: in Hz.
        block_samples: samples in a block.
        device: a number or part of a name; None for the default.

    Yields:
        sounddevice's stream: its `latency` is (input, output) in s; `active` is false once it has stopped.

    Raises:
        DeviceError: as for `play_and_record`.
    """
    sounddevice = _sounddevice("live", "fxemu render works without one")

    def callback(recorded: Array, played: Array, frames: int, time: Any, status: Any) -> None:
        played[:] = process(recorded[:, 0], bool(status))[:, None]

    with _refusals(sounddevice, device):
        outputs = min(2, sounddevice.query_devices(_number(device), "output")["max_output_channels"])
        stream = sounddevice.Stream(
            sample_rate, block_samples, _number(device), (1, outputs), "float32", "low", callback=callback
        )
    try:
        with _refusals(sounddevice, device):
            stream.start()
        yield stream
    finally:
        stream.close()


def _sounddevice(purpose: str, instead: str) -> ModuleType:
    """Import sounddevice; DeviceError where it or a device is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(f'{purpose} needs sounddevice: pip install "fxemu[live]"') from error
    except OSError as error:
        raise DeviceError(f"{purpose} needs PortAudio (Debian: apt-get install libportaudio2): {error}") from error
    except Exception as error:
        # Importing it starts PortAudio, whose own error is then out of reach.
        raise DeviceError(f"{purpose}: no sound on this machine ({error}); {instead}") from error
    if not sounddevice.query_devices():
        raise DeviceError(f"no audio device on this machine: {instead}")
    return sounddevice


@contextmanager
def _refusals(sounddevice: ModuleType, device: str | None) -> Iterator[None]:
    """Raise PortAudio's errors as DeviceError."""
    try:
        yield
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceError(
            f"audio device {device or 'default'}: {error}; see python -m sounddevice for a list"
        ) from error


def _number(device: str | None) -> int | str | None:
    return int(device) if device and device.isdigit() else device
