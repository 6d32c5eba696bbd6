"""What an annotator may do: get a pair, answer it, skip it, give it back, change an answer.

Everything that touches the queue passes here, whoever the annotator is: a person on the page, a
script or a simulation. The verbs on leases are in `leases`, those on answers in `answers`.
"""

from app.collect.ahead import lease_after, lease_ahead, put_down
from app.collect.answers import (
    active_seconds,
    change_comparison,
    own_comparison,
    record_comparison,
)
from app.collect.changing import why_unchangeable
from app.collect.controls import TimeIn, check_times
from app.collect.drafts import Standing, draft_of, save_draft
from app.collect.flagging import Answers, FlagIn, SideName, read_flags
from app.collect.leases import (
    Nothing,
    Why,
    assign,
    lease_and_standing,
    next_assignment,
    own_assignment,
    refusal,
    release,
    renew_lease,
    skip,
)
from app.collect.queries import sweep_expired

__all__ = [
    "Answers",
    "FlagIn",
    "Nothing",
    "SideName",
    "Standing",
    "TimeIn",
    "Why",
    "active_seconds",
    "assign",
    "change_comparison",
    "check_times",
    "draft_of",
    "lease_after",
    "lease_ahead",
    "lease_and_standing",
    "next_assignment",
    "own_assignment",
    "own_comparison",
    "put_down",
    "read_flags",
    "record_comparison",
    "refusal",
    "release",
    "renew_lease",
    "save_draft",
    "skip",
    "sweep_expired",
    "why_unchangeable",
]
