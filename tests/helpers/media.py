"""Audio files for tests, in any format that PyAV can write."""

from pathlib import Path

import av
import numpy as np
import torch

from fxemu.library.songs import list_audio_files

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ENCODERS = {
    "aac": ("adts", "aac"), "flac": ("flac", "flac"), "m4a": ("mp4", "aac"), "mp3": ("mp3", "libmp3lame"),
    "mp4": ("mp4", "aac"), "ogg": ("ogg", "libopus"), "wav": ("wav", "pcm_s16le"),
    "ac3": ("ac3", "ac3"), "aiff": ("aiff", "pcm_s16be"), "au": ("au", "pcm_s16be"), "caf": ("caf", "pcm_s16le"),
    "m4b": ("mp4", "aac"), "mka": ("matroska", "libopus"), "mkv": ("matroska", "ac3"), "mov": ("mov", "alac"),
    "mp2": ("mp2", "mp2"), "oga": ("ogg", "libopus"), "opus": ("ogg", "libopus"), "tta": ("tta", "tta"),
    "w64": ("w64", "pcm_s16le"), "webm": ("webm", "libopus"), "wma": ("asf", "wmav2"), "wv": ("wv", "wavpack"),
}  # fmt: skip


def example(suffix: str) -> Path:
    """A song in examples/ with that suffix."""
    return next(Path(path) for path in list_audio_files(EXAMPLES) if path.lower().endswith(suffix))


def tune(seconds: float, rate: int = 44_100, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Noise with a beat, (channels, samples), float32: no two stretches of it are alike."""
    samples = round(seconds * rate)
    noise = torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed)).numpy()
    return (0.1 * noise * (1.2 + np.sin(np.arange(samples) * 20 / rate))).astype(np.float32)


def encode(
    path: Path,
    audio: np.ndarray,
    rate: int = 44_100,
    layout: str | None = None,
    tags: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write audio (channels, samples) in the format of the path's suffix; the container takes the options too."""
    container_format, codec = ENCODERS[path.suffix[1:]]
    layout = layout or {1: "mono", 2: "stereo", 8: "7.1"}[len(audio)]
    with av.open(str(path), "w", format=container_format, options=options) as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
        resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.frame_size or 4096)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio.T).reshape(1, -1), "flt", layout)
        frame.sample_rate = rate
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path
