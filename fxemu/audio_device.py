"""Playing through an audio interface while recording from it, with sounddevice."""

from __future__ import annotations

import torch
from torch import Tensor


class DeviceError(ValueError):
    """There is no audio interface that can do this; the message says why and what to do."""


def play_and_record(signal: Tensor, sample_rate: int, device: str | None = None) -> Tensor:
    """Play signal (samples,) and return what came in meanwhile and for half a second after, float32 mono.

    Raises:
        DeviceError: without sounddevice, PortAudio or an interface, or if the interface refuses.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError('capture play needs sounddevice: pip install "fxemu[live]"') from error
    except OSError as error:
        raise DeviceError(f"capture play needs PortAudio (Debian: apt-get install libportaudio2): {error}") from error
    try:
        if not sounddevice.query_devices():
            raise DeviceError("no audio device on this machine: play the file elsewhere, then fxemu capture read")
        padded = torch.nn.functional.pad(signal, (0, sample_rate // 2)).numpy()
        number = int(device) if device and device.isdigit() else device
        recorded = sounddevice.playrec(padded[:, None], sample_rate, channels=1, device=number, blocking=True)
    except (sounddevice.PortAudioError, ValueError) as error:
        if isinstance(error, DeviceError):
            raise
        raise DeviceError(
            f"audio device {device or 'default'}: {error}; see python -m sounddevice for a list"
        ) from error
    return torch.from_numpy(recorded[:, 0].copy())
