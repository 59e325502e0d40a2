"""Songs and recordings to train on: found, measured, aligned, checked and split."""

from fxemu.library.songs import LibraryError, list_audio_files, read_audio_normalized

__all__ = ["LibraryError", "list_audio_files", "read_audio_normalized"]
