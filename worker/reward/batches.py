"""Which comparisons go through a step of training together."""

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations_with_replacement

from worker.reward.data import Encoded

_SHARED_ENOUGH = 3.0
_BATCHES_SORTED_TOGETHER = 32
# Steps that a run takes at least where sharing makes its epochs short; measured on real pairs.
_FEWEST_STEPS = 72


def cut_batches(
    data: Encoded, batch_size: int, seed: int, epoch: int, *, is_packed: bool = False
) -> list[list[int]]:
    """Row numbers of each batch of one epoch; a pure function of its arguments.

    Where completions appear in many rows, all rows among them that fit go together, however many
    they are, so that a completion is read once for all its comparisons and all their answers: a
    batch then has at most the completions of `batch_size` rows that share nothing. Else rows of
    like length go together, which spares padding, unless they are packed, which has none. Batches
    come in random order.
    """
    stream = random.Random(f"batches {seed} {epoch}")  # noqa: S311 (no secret)
    rows = list(range(len(data)))
    stream.shuffle(rows)
    if shares_completions(data):
        batches = list(_fill(_units(rows, data, 2 * batch_size, stream), batch_size))
    else:
        ordered = rows if is_packed else _by_length(rows, data, batch_size)
        batches = [ordered[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    stream.shuffle(batches)
    return batches


def shares_completions(data: Encoded) -> bool:
    """Whether rows are worth bringing together: completions stand in many, or in a ranking."""
    return any(data.rankings) or 2 * len(data) >= _SHARED_ENOUGH * len(data.sequences)


def usual_epochs(data: Encoded, batch_size: int) -> float:
    """One, or where a step reads many rows at once as many as make 72 steps, at most 8.

    Never more steps than the same rows would take if they shared nothing.
    """
    alone = math.ceil(len(data) / batch_size)
    if not shares_completions(data) or alone == 0:
        return 1.0
    an_epoch = len(cut_batches(data, batch_size, 0, 0))
    return float(min(8, max(1, round(min(alone, _FEWEST_STEPS) / an_epoch))))


def cut_parts(batch: Sequence[int], data: Encoded, most: int) -> list[list[int]]:
    """The rows of a batch in parts that read at most `most` tokens, where rows are not more.

    Rows that have a completion or a prompt in common stay together, so that it is read once.
    """
    sides = [(int(data.chosen[row]), int(data.rejected[row])) for row in batch]
    links = [
        (*both, *([data.groups[row]] if data.groups[row] else []))
        for row, both in zip(batch, sides, strict=True)
    ]
    of = dict(zip(batch, sides, strict=True))
    parts: list[list[int]] = []
    room = 0
    for unit in _connected(batch, links):
        size = sum(len(data.sequences[side]) for side in {side for row in unit for side in of[row]})
        if size > room:
            parts.append([])
            room = most
        parts[-1] += unit
        room -= size
    return parts


def _units(rows: Sequence[int], data: Encoded, most: int, stream: random.Random) -> list[list[int]]:
    """Rows connected by completions, in parts that have at most `most` of them; in random order.

    A larger set is cut into blocks of half as many completions; the rows between each two blocks
    are a part, so that every row is in one and a part reads as few completions as may be.
    """
    sides = list(zip(data.chosen.tolist(), data.rejected.tolist(), strict=True))
    units: list[list[int]] = []
    for members in _connected(rows, [sides[row] for row in rows]):
        used = sorted({side for row in members for side in sides[row]})
        if len(used) <= most:
            units.append(members)
            continue
        stream.shuffle(used)
        block = {side: place // (most // 2) for place, side in enumerate(used)}
        parts: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row in members:
            one, two = sorted(block[side] for side in sides[row])
            parts[one, two].append(row)
        numbers = range(max(block.values()) + 1)
        units += [
            parts[pair] for pair in combinations_with_replacement(numbers, 2) if pair in parts
        ]
    stream.shuffle(units)
    return units


def _connected(rows: Sequence[int], links: Sequence[Sequence[Hashable]]) -> Iterator[list[int]]:
    """Rows that have a link in common, or with others between, each set in the order of `rows`."""
    parent: dict[Hashable, Hashable] = {}

    def root(one: Hashable) -> Hashable:
        while (above := parent.setdefault(one, one)) != one:
            parent[one] = one = parent[above]
        return one

    for first, *others in links:
        for other in others:
            parent[root(first)] = root(other)
    found: dict[Hashable, list[int]] = defaultdict(list)
    for row, (first, *_) in zip(rows, links, strict=True):
        found[root(first)].append(row)
    yield from found.values()


def _fill(units: Sequence[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Units side by side up to `batch_size` rows; a unit of more rows is a batch of its own."""
    batch: list[int] = []
    for unit in units:
        if batch and len(batch) + len(unit) > batch_size:
            yield batch
            batch = []
        batch = batch + unit
    if batch:
        yield batch


def _by_length(rows: list[int], data: Encoded, batch_size: int) -> list[int]:
    lengths = [len(sequence) for sequence in data.sequences]
    longest = [
        max(lengths[chosen], lengths[rejected])
        for chosen, rejected in zip(data.chosen.tolist(), data.rejected.tolist(), strict=True)
    ]
    size = batch_size * _BATCHES_SORTED_TOGETHER
    pools = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [row for pool in pools for row in sorted(pool, key=lambda row: longest[row])]
