"""The decoding process: the same results, and files that hang, crash or bloat it cost only themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.media import encode, example, tune

from fxemu.audio.decoding import SUFFIXES, read
from fxemu.audio.loudness import measure
from fxemu.audio.source import AudioError
from fxemu.audio.worker import Worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.close()


def resident_bytes(worker: Worker) -> int:
    words = Path(f"/proc/{worker.process.pid}/statm").read_text().split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_worker_returns_what_the_functions_return(worker):
    path = str(example(".ogg"))
    assert worker.measure(path) == measure(path)
    np.testing.assert_array_equal(worker.read(path, 22_050, 3, 2).samples, read(path, 22_050, 3, 2).samples)
    with pytest.raises(AudioError, match=r"gone\.mp3: cannot be decoded"):
        worker.read("gone.mp3", 22_050, 0, 1)
    assert worker.measure("gone.mp3").error == "No such file or directory"


def test_in_the_background_it_has_a_low_priority(worker):
    path, priorities = str(example(".wav")), []
    for background in (False, True, False):
        worker.measure(path, background)
        priorities.append(os.getpriority(os.PRIO_PROCESS, worker.process.pid))
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert priorities == [ours, max(ours, 10), max(ours, 10)]


def test_a_decoder_that_hangs_is_ended_and_the_next_file_read(worker):
    path = str(example(".wav"))
    assert worker.measure(path).error is None
    os.kill(worker.process.pid, signal.SIGSTOP)
    worker.patience = 0.01
    start = time.monotonic()
    assert worker.measure(path).error == "gave no answer in 2 s" and worker.timed_out
    assert time.monotonic() - start < 5
    worker.patience = 1
    assert worker.measure(path).error is None and not worker.timed_out


def test_a_decoder_beyond_its_processor_time_is_ended_on_a_slow_machine_too(worker, monkeypatch):
    path = str(example(".wav"))
    monkeypatch.setattr("fxemu.audio.worker.WAIT", 1e5)
    worker.patience = 1e-5
    assert worker.measure(path).error == "took longer than 0 s" and not worker.timed_out
    worker.patience = 1
    assert worker.measure(path).error is None


def test_a_decoder_that_crashes_costs_only_its_file(worker):
    path = str(example(".wav"))
    assert worker.measure(path).error is None
    os.kill(worker.process.pid, signal.SIGSTOP)
    os.kill(worker.process.pid, signal.SIGSEGV)
    os.kill(worker.process.pid, signal.SIGCONT)
    assert worker.measure(path).error in (None, "made the decoder crash")
    assert worker.measure(path).error is None


def test_the_worker_ends_when_its_parent_is_killed():
    code = (
        "from fxemu.audio.worker import Worker; import sys, time; w = Worker(); w.measure(sys.argv[1]); "
        "print(w.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(example(".wav"))], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").is_file() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the worker outlives its parent"
        time.sleep(0.02)


def mutants(data: bytes, seed: int, count: int):
    """Copies of a file with bytes changed, cut out, put in twice or overwritten, in its header or anywhere."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(generator.integers(1, 6)):
            reach = len(mutant) if generator.random() < 0.5 else min(400, len(mutant))
            at, size = int(generator.integers(reach)), int(generator.integers(1, 64))
            kind = generator.integers(4)
            if kind == 0:
                mutant[at] = generator.integers(256)
            elif kind == 1:
                del mutant[at : at + size * 20]
            elif kind == 2:
                mutant[at:at] = mutant[at : at + size * 20]
            else:
                mutant[at : at + size] = generator.bytes(size)
        yield bytes(mutant)


@pytest.mark.parametrize("suffix", [suffix[1:] for suffix in SUFFIXES])
def test_mutated_files_neither_crash_nor_hang_nor_leak(tmp_path, worker, suffix):
    whole = encode(tmp_path / f"x.{suffix}", tune(3, 48_000), 48_000)
    expected = worker.measure(str(whole))
    process, before = worker.process, resident_bytes(worker)
    data, path = whole.read_bytes(), tmp_path / f"mutant.{suffix}"
    usable = 0
    for mutant in mutants(data, seed=sum(suffix.encode()), count=25):
        path.write_bytes(mutant)
        start = time.monotonic()
        song = worker.measure(str(path))
        assert time.monotonic() - start < 10
        assert worker.process is process and process.poll() is None, f"{song.error}"
        if song.error is None:
            usable += 1
            assert 0 < song.duration_s < 10 * expected.duration_s and np.isfinite(song.peak)
            assert np.isfinite(read(path, 8000, 0, 2).samples).all()
        else:
            assert song.error.isprintable()
    assert usable > 0
    assert resident_bytes(worker) - before < 40e6
