"""Atomic writing: through kills, a full disk and a folder that cannot be written."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fxemu.audio.encoding import writing
from fxemu.audio.tensors import decode
from fxemu.files import write_whole

WRITER = """
import sys
from pathlib import Path
from fxemu.files import write_whole
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_whole(Path(sys.argv[1]), bytes([letter]) * 2_000_000)
"""


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    for content in (b"old", b"new"):
        write_whole(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    for delay_ms in (1, 4, 9, 20, 35):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "x")],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout.readline() == b"ready\n"
        while not (tmp_path / "x").is_file():
            time.sleep(0.001)
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        content = (tmp_path / "x").read_bytes()
        assert content in (b"a" * 2_000_000, b"b" * 2_000_000)
    write_whole(tmp_path / "x", b"after")
    assert (tmp_path / "x").read_bytes() == b"after"


def test_a_full_disk_keeps_the_old_file(small_disk):
    disk = small_disk(100)
    write_whole(disk / "x", b"old")
    with pytest.raises(OSError) as error:
        write_whole(disk / "x", bytes(1_000_000))
    assert error.value.errno == errno.ENOSPC
    assert (disk / "x").read_bytes() == b"old" and os.listdir(disk) == ["x"]


def test_a_folder_that_cannot_be_written_is_an_error(read_only):
    with pytest.raises(OSError) as error:
        write_whole(read_only / "x", b"new")
    assert error.value.errno == errno.EROFS


def test_writers_of_one_file_do_not_meet(tmp_path):
    song = tmp_path / f"{'x' * 250}.wav"
    with writing(song, 8000, "mono") as write, writing(song, 8000, "mono") as write_other:
        for samples in (1000, 3000):
            write(np.full((1, samples), 0.25, np.float32))
            write_other(np.full((1, samples), -0.25, np.float32))
    assert (decode(song)[0] == 0.25).all() and decode(song)[0].numel() == 4000
    assert os.listdir(tmp_path) == [song.name]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda letter: write_whole(tmp_path / "x", bytes([letter]) * 100_000), range(64)))
    content = (tmp_path / "x").read_bytes()
    assert len(content) == 100_000 and len(set(content)) == 1 and len(os.listdir(tmp_path)) == 2
