"""From ranks to pairs, and from text to sentences. Pure: no SQL, no HTTP."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil
from typing import TypeVar

Item = TypeVar("Item")

# A rank says which is better and not by how much: of the strengths from 1 (barely) to 4 (very
# clearly) the lower of the two in the middle, so that a ranking claims no more than it knows.
MIDDLE = 2
BARELY = 1

_SENTENCE = re.compile(r"\S.*?(?:[.!?…。!?]+[\"'”’)\]]*(?=\s|$)|(?=\n)|\Z)", re.DOTALL)


def dense(ranks: Mapping[Item, int]) -> dict[Item, int]:
    """The same order with ranks 1, 2, 3 and no gaps; equal ranks stay equal."""
    place = {rank: index for index, rank in enumerate(sorted(set(ranks.values())), start=1)}
    return {item: place[rank] for item, rank in ranks.items()}


def pairs_of_ranking(ranks: Mapping[Item, int]) -> list[tuple[Item, Item, bool]]:
    """Every two items as (one, other, is a tie), the better one first (InstructGPT, section 3.5).

    Of k items come k (k - 1) / 2 pairs.
    """
    ordered = sorted(ranks, key=lambda item: ranks[item])
    return [(one, other, ranks[one] == ranks[other]) for one, other in combinations(ordered, 2)]


def rating_of(is_a_better: bool, strength: int) -> int:
    """The canonical rating, 1 to 8, that says A (or B) is better by `strength`, 1 to 4."""
    return 5 - strength if is_a_better else 4 + strength


def sentences(words: str) -> list[tuple[int, int]]:
    """Where each sentence of a raw text begins and ends, as character offsets.

    A line break ends one as well. Between two of them is white space only.
    """
    found = []
    for match in _SENTENCE.finditer(words):
        start, stop = match.span()
        stop = start + len(words[start:stop].rstrip())
        if stop > start:
            found.append((start, stop))
    return found


def pieces(words: str, most: int = 200) -> list[tuple[int, int]]:
    """Sentences, or where there are more than `most`, as many together as it takes."""
    found = sentences(words)
    step = max(1, ceil(len(found) / most))
    groups = [found[first : first + step] for first in range(0, len(found), step)]
    return [(group[0][0], group[-1][1]) for group in groups]


def merged(parts: Sequence[tuple[int, int, Item]]) -> list[tuple[int, int, Item]]:
    """Spans in the text's order, neighbours that say the same (a space apart) joined."""
    found: list[tuple[int, int, Item]] = []
    for start, stop, said in sorted(parts, key=lambda part: part[0]):
        if found and found[-1][2] == said and start - found[-1][1] <= 2:
            found[-1] = (found[-1][0], stop, said)
        else:
            found.append((start, stop, said))
    return found
