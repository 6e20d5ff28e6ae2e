"""Processes that work together (``accelerate launch``, ``torchrun``): left in order when Python ends."""

from __future__ import annotations

import atexit

import torch.distributed

__all__ = ["leave_process_group_at_exit"]


def leave_process_group_at_exit() -> None:
    """Close the connections to the other processes before Python ends; without other processes nothing happens.

    A gloo thread that still holds an answer gives its tensors back to Python. Where Python is ending by then, the
    thread is stopped inside C++, and the process aborts ("terminate called without an active exception") after its
    work is done; the launcher then reports a failure.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        atexit.unregister(_leave)  # once, however many models there are
        atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
