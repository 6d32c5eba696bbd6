"""Sequences laid out as one row without padding, what several of them begin with only once.

In a causal network a token's state depends on the tokens before it alone. So the states of a
prompt serve every completion of it, and one row of tokens gives all scores, if each token sees
just its own sequence. Reading a shared prompt once: Jung et al., arXiv 2410.20305. An encoder
reads both ways, so its sequences share nothing and are only freed of padding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

# Below this many tokens a sequence shares its attention call with others; measured on CPUs.
LONG = 128
_PADDED_AT_MOST = 1.2
_SHORTEST_TRUNK = 2


@dataclass(frozen=True)
class Block:
    """`n` sequences of `length` tokens, one after another from `start`: needs no copy."""

    start: int
    n: int
    length: int

    @property
    def n_results(self) -> int:
        return self.n * self.length


@dataclass(frozen=True)
class Branch:
    """Tokens `start` to `end` of a sequence that begins with tokens `trunk` to `trunk_end`."""

    trunk: int
    trunk_end: int
    start: int
    end: int

    @property
    def n_results(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Gathered:
    """Sequences brought together: `places` [n, L] in the row, padded on the right with 0.

    `mask` [n, 1, 1, L] is true where a sequence has a token; None where padding comes after all
    that is read, as in causal attention, or where there is none.
    """

    places: Tensor
    mask: Tensor | None = None

    @property
    def n_results(self) -> int:
        return self.places.numel()


Call = Block | Branch | Gathered


@dataclass(frozen=True)
class Layout:
    """A row of T tokens that holds U sequences.

    ids, positions: [T]. reads: [U], where the token stands whose state is a sequence's: its last,
    or its first in an encoder. calls: how attention is computed; `order` [T] says which of their
    results, in sequence, is each token's, and is None where they come in the order of the row.
    sizes: lengths that add up to T, of stretches that each call reads whole or from their start.
    """

    ids: Tensor
    positions: Tensor
    reads: Tensor
    calls: tuple[Call, ...]
    order: Tensor | None
    sizes: tuple[int, ...]
    is_causal: bool = True

    @cached_property
    def masks(self) -> tuple[Tensor | None, ...]:
        """What each call's queries see, true or false; None where that is all, or all before."""
        return tuple(self._mask(call) for call in self.calls)

    def _mask(self, call: Call) -> Tensor | None:
        if not isinstance(call, Branch):
            return call.mask if isinstance(call, Gathered) else None
        n_before = call.trunk_end - call.trunk
        seen = torch.ones(
            *(call.n_results, n_before + call.n_results), dtype=torch.bool, device=self.ids.device
        )
        return seen.tril(n_before)

    @cached_property
    def biases(self) -> tuple[Tensor | None, ...]:
        """The masks as what is added to the logits of attention, in float32: 0 or −∞."""
        return tuple(
            None if mask is None else torch.zeros(mask.shape).masked_fill_(~mask, -math.inf)
            for mask in self.masks
        )

    def to(self, device: torch.device) -> "Layout":
        """The same on another device."""
        if device.type == self.ids.device.type == "cpu":
            return self

        def moved(one: Tensor | None) -> Tensor | None:
            return None if one is None else one.to(device)

        return replace(
            self,
            ids=self.ids.to(device),
            positions=self.positions.to(device),
            reads=self.reads.to(device),
            calls=tuple(
                Gathered(one.places.to(device), moved(one.mask))
                if isinstance(one, Gathered)
                else one
                for one in self.calls
            ),
            order=moved(self.order),
        )


@dataclass(frozen=True)
class Group:
    """Sequences, by number, whose first `trunk` tokens are the same."""

    members: tuple[int, ...]
    trunk: int

    @property
    def spared(self) -> int:
        return (len(self.members) - 1) * self.trunk


def lay_out(
    sequences: Sequence[list[int]], pad: int | None, *, is_causal: bool = True, long: int = LONG
) -> Layout:
    """One row for U distinct, non-empty sequences of token ids.

    `pad` is the padding token: like transformers' heads, a sequence is read at its last token that
    is not padding, and at its first where attention goes both ways. Sequences of `long` tokens or
    more have attention calls of their own.
    """
    alone = [Group((index,), 0) for index in range(len(sequences))]
    groups = share_prefixes(sequences) if is_causal else alone
    groups.sort(key=lambda group: (len(group.members), len(sequences[group.members[0]])))
    ids: list[int] = []
    positions: list[int] = []
    placed: list[_Placed] = []
    reads = [0] * len(sequences)
    for group in groups:
        trunk = (len(ids), len(ids) + group.trunk)
        ids += sequences[group.members[0]][: group.trunk]
        positions += range(group.trunk)
        for number, member in enumerate(group.members):
            sequence = sequences[member]
            one = _Placed(trunk, (len(ids), len(ids) + len(sequence) - group.trunk), number == 0)
            placed.append(one)
            reads[member] = one.place(_last_read(sequence, pad) if is_causal else 0)
            ids += sequence[group.trunk :]
            positions += range(group.trunk, len(sequence))
    calls, order = _calls(placed, long, is_causal=is_causal)
    return Layout(
        torch.tensor(ids),
        torch.tensor(positions),
        torch.tensor(reads),
        calls,
        order,
        _stretches(calls, len(ids)),
        is_causal=is_causal,
    )


def share_prefixes(sequences: Sequence[list[int]]) -> list[Group]:
    """Groups of sequences with a common beginning, chosen so that many tokens are spared.

    Sequences are put in the order of a dictionary, where those that share most are neighbours;
    neighbours are merged, the longest common beginning first, as long as that spares tokens.
    """
    order = sorted(range(len(sequences)), key=lambda index: sequences[index])
    shared = [common_prefix(sequences[one], sequences[two]) for one, two in pairwise(order)]
    group_of = [Group((index,), 0) for index in order]  # by place in `order`
    for place in sorted(range(len(shared)), key=lambda place: -shared[place]):
        left, right = group_of[place], group_of[place + 1]
        trunks = [group.trunk for group in (left, right) if len(group.members) > 1]
        trunk = min(shared[place], *trunks) if trunks else shared[place]
        merged = Group(left.members + right.members, trunk)
        if trunk < _SHORTEST_TRUNK or merged.spared <= left.spared + right.spared:
            continue
        first = place + 1 - len(left.members)
        group_of[first : first + len(merged.members)] = [merged] * len(merged.members)
    return list(dict.fromkeys(group_of))


def common_prefix(one: list[int], two: list[int]) -> int:
    """How many first tokens are equal; always less than the shorter length, so that each keeps one.

    By halving, because slices are compared in C.
    """
    low, high = 0, min(len(one), len(two)) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return max(low, 0)


def _last_read(sequence: list[int], pad: int | None) -> int:
    last = len(sequence) - 1
    while last > 0 and sequence[last] == pad:
        last -= 1
    return last


@dataclass(frozen=True)
class _Placed:
    """A sequence in the row: where its trunk and the rest of it stand, and which it takes along."""

    trunk: tuple[int, int]
    rest: tuple[int, int]
    owns_trunk: bool

    @property
    def length(self) -> int:
        return self.trunk[1] - self.trunk[0] + self.rest[1] - self.rest[0]

    def places(self) -> list[int]:
        return [*range(*self.trunk), *range(*self.rest)]

    def place(self, index: int) -> int:
        return self.places()[index]


def _calls(
    placed: Sequence[_Placed], long: int, *, is_causal: bool
) -> tuple[tuple[Call, ...], Tensor | None]:
    """Attention calls, and which of their results, one after another, is each token's."""
    calls: list[Call] = []
    owners: list[int] = []  # the place in the row that takes a result; −1 where none does
    short: list[_Placed] = []
    for run in _equal_neighbours(placed):
        first = run[0]
        if len(run) * first.length < long or (first.length < long and not first.owns_trunk):
            short += run
        elif first.owns_trunk:
            calls.append(Block(first.trunk[0], len(run), first.length))
            owners += range(first.trunk[0], first.trunk[0] + len(run) * first.length)
        else:
            calls.append(Branch(*first.trunk, *first.rest))
            owners += range(*first.rest)
    for bucket in _like_lengths(sorted(short, key=lambda one: one.length)):
        gathered, own = _gather(bucket, is_causal=is_causal)
        calls.append(gathered)
        owners += own
    if owners == list(range(len(owners))):
        return tuple(calls), None
    takes = torch.tensor(owners)
    kept = (takes >= 0).nonzero()[:, 0]  # [T]
    order = torch.empty_like(kept)
    order[takes[kept]] = kept
    return tuple(calls), order


def _stretches(calls: Sequence[Call], n_tokens: int) -> tuple[int, ...]:
    """Lengths of the row's parts if it is cut around what each call but Gathered ones answers."""
    cuts = {0, n_tokens}
    for call in calls:
        if isinstance(call, Block):
            cuts |= {call.start, call.start + call.n * call.length}
        elif isinstance(call, Branch):
            cuts |= {call.start, call.end}
    return tuple(end - start for start, end in pairwise(sorted(cuts)))


def _equal_neighbours(placed: Sequence[_Placed]) -> list[list[_Placed]]:
    """Runs of sequences of one length that stand side by side and share nothing."""
    runs: list[list[_Placed]] = []
    for one in placed:
        last = runs[-1][-1] if runs else None
        if (
            last is not None
            and one.owns_trunk
            and last.owns_trunk
            and last.length == one.length
            and last.rest[1] == one.trunk[0]
        ):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _like_lengths(placed: Sequence[_Placed]) -> list[list[_Placed]]:
    """Cut sequences sorted by length so that padding adds no more than a fifth."""
    buckets: list[list[_Placed]] = []
    tokens = 0
    for one in placed:
        tokens += one.length
        if buckets and (len(buckets[-1]) + 1) * one.length <= _PADDED_AT_MOST * tokens:
            buckets[-1].append(one)
        else:
            buckets.append([one])
            tokens = one.length
    return buckets


def _gather(bucket: Sequence[_Placed], *, is_causal: bool) -> tuple[Gathered, list[int]]:
    longest = max(one.length for one in bucket)
    places = torch.zeros(len(bucket), longest, dtype=torch.long)  # [n, L]
    owners: list[int] = []
    for row, one in enumerate(bucket):
        places[row, : one.length] = torch.tensor(one.places())
        trunk = range(*one.trunk) if one.owns_trunk else [-1] * (one.trunk[1] - one.trunk[0])
        owners += [*trunk, *range(*one.rest), *[-1] * (longest - one.length)]
    if is_causal or bucket[0].length == longest:  # sorted by length
        return Gathered(places), owners
    lengths = torch.tensor([one.length for one in bucket])
    return Gathered(places, (torch.arange(longest) < lengths[:, None])[:, None, None]), owners
