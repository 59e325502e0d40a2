"""Tasks in processes of their own, a core each, that share what their parent has read; Ctrl-C ends them early."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch

from fxemu.training.run_folder import in_sweep
from fxemu.training.signals import handle_ends, restore_default_ends

# How often a signal is looked for, in s.
TICK_S = 0.2
Task = Callable[[], None]


class Interrupt:
    """The first signal that ends a training, kept in `received` by its number; a second one kills."""

    def __init__(self) -> None:
        self.received: int | None = None

    @contextmanager
    def kept(self) -> Iterator[Interrupt]:
        """Keep signals meanwhile; not those of a sweep, which end it at once."""
        if in_sweep():
            yield self
            return
        before = handle_ends(self._keep)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _keep(self, number: int, frame: object) -> None:
        self.received = number
        restore_default_ends()


def can_fork() -> bool:
    """Whether tasks can have processes that share memory: not beside a GPU, and not where forking is unsafe."""
    return sys.platform == "linux" and not torch.cuda.is_available()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    tasks: Sequence[Task],
    workers: int,
    limit_s: float,
    interrupt: Interrupt,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Run tasks, as many at once as there are workers, or one after another in this process where it cannot fork.

    A task that fails does so on its own. Once it is `enough` no further one begins, nor after an interrupt, when those
    that run are told to end by SIGTERM, nor beyond the limit, of all together, when those that run are killed.
    """
    end = time.monotonic() + limit_s
    if not can_fork():
        for task in tasks:
            if interrupt.received is None and time.monotonic() < end and not enough():
                task()
        return
    waiting, told = list(tasks), set()
    running: list[BaseProcess] = []
    try:
        while running or waiting:
            if interrupt.received is not None or time.monotonic() > end or enough():
                waiting.clear()
            while waiting and len(running) < workers:
                process = multiprocessing.get_context("fork").Process(target=_alone, args=(waiting.pop(0),))
                process.start()
                running.append(process)
            wait([process.sentinel for process in running], TICK_S)
            for process in running:
                if time.monotonic() > end:
                    process.kill()
                elif interrupt.received is not None and process not in told:
                    process.terminate()
                    told.add(process)
            running = [process for process in running if process.is_alive()]
    finally:
        for process in running:
            process.kill()


def _alone(task: Task) -> None:
    """A task in its process: one thread, and Ctrl-C is for its parent."""
    os.setpgrp()
    restore_default_ends()
    torch.set_num_threads(1)
    task()
