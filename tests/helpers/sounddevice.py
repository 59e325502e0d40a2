"""A stand-in for the module sounddevice: an interface that calls back in real time and counts late blocks."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np


class PortAudioError(Exception):
    pass


def interface(recording: np.ndarray, played: list[np.ndarray]) -> SimpleNamespace:
    """A module whose interface records `recording` (samples,) in a loop, and appends its output to `played`.

    Its streams count the blocks that came after their time in `late`.
    """
    streams: list[FakeStream] = []

    def stream(*settings: object, callback: Callable) -> FakeStream:
        streams.append(FakeStream(*settings, callback, recording, played))
        return streams[-1]

    return SimpleNamespace(
        query_devices=lambda *which: {"max_output_channels": 8} if which else ["an interface"],
        Stream=stream,
        PortAudioError=PortAudioError,
        streams=streams,
    )


class FakeStream:
    """Block k is asked for at k block lengths after the start, and must be there one block length later."""

    latency = (0.004, 0.006)

    def __init__(self, rate, block, device, channels, dtype, latency, callback, recording, played) -> None:
        assert dtype == "float32" and latency == "low"
        self.block, self.period, self.channels = block, block / rate, channels
        self.callback, self.recording, self.played = callback, recording, played
        self.late, self.running = 0, True
        self.thread = threading.Thread(target=self._play)

    @property
    def active(self) -> bool:
        return self.thread.is_alive()

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        self.running = False
        self.thread.join()

    def _play(self) -> None:
        inputs, outputs = self.channels
        start, lost, block = time.perf_counter(), False, 0
        while self.running:
            time.sleep(max(0.0, start + block * self.period - time.perf_counter()))
            place = (block * self.block + np.arange(self.block)) % self.recording.size
            recorded = np.repeat(self.recording[place][:, None], inputs, axis=1)
            played = np.empty((self.block, outputs), np.float32)
            self.callback(recorded, played, self.block, None, lost)
            self.played.append(played)
            block += 1
            lost = time.perf_counter() > start + block * self.period
            if lost:
                self.late += 1
                start = time.perf_counter() - block * self.period
