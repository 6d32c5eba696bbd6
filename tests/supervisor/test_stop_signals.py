"""Ctrl-C twice, at any moment."""

import signal
import sys
from types import FrameType
from typing import Any

import pytest

from app.supervisor import _StopSignals

STEPS = 40


def interrupted(signals: _StopSignals) -> bool:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("at", range(STEPS))
def test_a_second_signal_is_heard_whichever_instruction_it_falls_on(at: int) -> None:
    left = at

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if frame.f_code is not _StopSignals.only_count.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == -1:
                signal.raise_signal(signal.SIGINT)
        return trace

    with _StopSignals() as signals:
        assert interrupted(signals)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            signals.only_count()
        finally:
            sys.settrace(before)
        if left >= 0:  # fewer instructions than that
            assert not interrupted(signals)
        assert signals.is_hurried()


def test_after_a_failure_the_first_signal_hurries_and_interrupts_nothing() -> None:
    with _StopSignals() as signals:
        signals.only_count()
        assert not signals.is_hurried()
        assert not interrupted(signals)
        assert signals.is_hurried()
