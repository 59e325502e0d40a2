"""An effect known only by recordings of its dry and wet signals."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

from torch import Tensor

from fxemu.effects.base import Effect, EffectError
from fxemu.effects.recorded_settings import positions_of
from fxemu.files import printable
from fxemu.models.knobs import Knob


class Recorded(Effect):
    """Pairs of dry and wet recordings, which training reads in place of processing songs.

    Args:
        dry: a file, or a folder of files.
        wet: the recording of each: a file, or a folder in which the names (without suffix) are those of `dry`.
        flip: turn a wet that is upside down the right way up; else the model learns its polarity.
        force: use also pairs that the checks refuse.
        dry_channel, wet_channel: of files with several, 1 for the first; None for the mean of those that are not empty.
    """

    memory_s = None
    replayable = False

    def __init__(
        self,
        dry: str | None = None,
        wet: str | None = None,
        flip: bool = False,
        force: bool = False,
        dry_channel: int | None = None,
        wet_channel: int | None = None,
    ) -> None:
        for name, path in (("dry", dry), ("wet", wet)):
            if not path or not Path(path).exists():
                raise ValueError(f"{name}: got {path!r}; must be a recording, or a folder of them, that exists")
        if Path(dry).is_dir() != Path(wet).is_dir():
            got = f"{printable(dry)} and {printable(wet)}"
            raise ValueError(f"dry and wet: got {got}; must be two files or two folders")
        for name, channel in (("dry_channel", dry_channel), ("wet_channel", wet_channel)):
            if channel is not None and not (isinstance(channel, int) and channel >= 1):
                raise ValueError(f"{name}: got {channel!r}; must be 1 or more, or null")
        self.dry, self.wet, self.flip, self.force = Path(dry), Path(wet), flip, force
        self.dry_channel, self.wet_channel = dry_channel, wet_channel

    def with_knobs(self, knobs: Sequence[Knob]) -> Recorded:
        """The same recordings, each at a setting of these knobs."""
        turned = copy(self)
        turned.knobs = tuple(knobs)
        return turned

    def positions(self, recordings: Sequence[tuple[Path, Path]]) -> Sequence[Tensor | None]:
        """Positions (K,) of the knobs in each recording, given as paths of dry and wet; None without knobs.

        Raises:
            KnobError: for a recording without a setting.
        """
        return positions_of(recordings, self.knobs) if self.knobs else [None] * len(recordings)

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        raise EffectError(f"effect recorded: {self.wet} is all that is known of it; it cannot be run on other audio")
