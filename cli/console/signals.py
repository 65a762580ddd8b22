"""Signals that ask a command to end, taken like Ctrl-C: everything is put back in order before it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class AskedToEnd(BaseException):
    """A signal other than Ctrl-C asked this process to end; like ``KeyboardInterrupt``, no error of anything."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Ended by {signal.Signals(number).name}.")
        self.exit_status = 128 + number


def handle_signals(handler: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> None:
    """Call ``handler`` for these signals, but not for those that whoever started this process wants ignored.

    ``nohup`` and shells that put a command into the background say so for SIGHUP and SIGINT.
    """
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def end_like_ctrl_c() -> None:
    """Let SIGTERM and the end of the terminal raise `AskedToEnd` from now on."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        # Once is enough: what is being put in order must not be interrupted by a second one.
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise AskedToEnd(number)

    handle_signals(end, signal.SIGTERM, signal.SIGHUP)
