"""Make glibc keep freed memory for reuse: getting it from the system again costs as much as the arithmetic."""

from __future__ import annotations

import torch


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks of up to 31 MiB, for as long as the process lives; no effect with other allocators.

    Its threshold is the size of the largest block freed so far, and blocks above 32 MiB do not raise it.
    """
    torch.empty(31 << 18)
