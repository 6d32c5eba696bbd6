"""Which prompts are held out. Pure functions of names, so that every freeze decides alike."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from app.tables.datasets import Split

EVAL_SHARE = 0.15


def position_of(group: str) -> float:
    """Where a group stands between 0 and 1, by a hash of its name and nothing else."""
    digest = sha256(b"prefloop split\0" + group.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_groups(groups: Iterable[str], earlier: Mapping[str, Split]) -> dict[str, Split]:
    """The side of each group: where it was `earlier`, else held out with EVAL_SHARE.

    Neither side stays empty while there are two groups and a new one that can fill it; one group
    alone is for training. A group never changes sides.
    """
    names = sorted(set(groups), key=lambda name: (position_of(name), name))
    sides = {name: earlier[name] for name in names if name in earlier}
    fresh = [name for name in names if name not in earlier]
    for name in fresh:
        is_held_out = position_of(name) < EVAL_SHARE and len(names) > 1
        sides[name] = Split.EVAL if is_held_out else Split.TRAIN
    if fresh and len(names) > 1:
        if Split.EVAL not in sides.values():
            sides[fresh[0]] = Split.EVAL
        elif Split.TRAIN not in sides.values():
            sides[fresh[-1]] = Split.TRAIN
    return sides
