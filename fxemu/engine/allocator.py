"""Keeping freed memory for reuse: to get it from the system again costs as much as the arithmetic."""

from __future__ import annotations

import torch


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks of up to 31 MiB, for as long as the process lives; elsewhere nothing happens.

    It keeps what is not larger than the largest block that it has seen freed, and learns from none above 32 MiB.
    """
    torch.empty(31 << 18)
