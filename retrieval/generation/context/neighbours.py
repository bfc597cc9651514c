"""What stands beside a passage in its document: as many sentences of its neighbours as there is room for."""

from collections.abc import Callable, Mapping

from retrieval.deadline import look
from retrieval.format import Passage, passage_id
from retrieval.generation.context.joining import Part, Run, number_of
from retrieval.text import sentences

Count = Callable[[str], int]  # tokens of a text


def beside(
    hit: Passage, known: Mapping[str, Passage], expand: int, room: int, count: Count
) -> tuple[list[Part], int]:
    """Parts of `known`, passages by id, that stand before and after a hit, and how many tokens they are.

    At most `expand` passages on either side, the nearest first, by sentences within `room` tokens. A side
    ends where its passage is not known, or does not fit whole.
    """
    number, found, used = number_of(hit), list[Part](), 0
    if number is None:
        return [], 0
    edges = {-1: Part.whole(hit), 1: Part.whole(hit)}  # what was read last, by side
    for distance in range(1, expand + 1):
        for side in sorted(edges):
            look()
            # The first side leaves the other one half.
            left = (room - used) // 2 if side < 0 and len(edges) == 2 else room - used
            passage = known.get(passage_id(hit.doc_id, number + side * distance))
            part, tokens = (None, 0) if passage is None else _fitting(passage, edges[side], side, left, count)
            if part is not None and _touch(part, edges[side], side):
                found.append(part)
                used += tokens
            if part is None or not part.is_whole:
                del edges[side]
            else:
                edges[side] = part
    return found, used


def _fitting(passage: Passage, edge: Part, side: int, room: int, count: Count) -> tuple[Part | None, int]:
    """As many sentences of a passage as fit, from `edge` outwards, and the tokens of what is new in them."""
    base, used, reached = passage.start, 0, None
    spans = sentences(passage.text)
    for start, end in spans if side > 0 else reversed(spans):
        low = max(start, edge.end - base) if side > 0 else start  # what overlaps is read already
        high = end if side > 0 else min(end, edge.start - base)
        tokens = count(passage.text[low:high]) if low < high else 0
        if used + tokens > room:
            break
        used, reached = used + tokens, base + (end if side > 0 else start)
    if reached is None or not used:
        return None, 0
    last = base + len(passage.text)
    return Part(passage, base if side > 0 else reached, reached if side > 0 else last), used


def _touch(part: Part, edge: Part, side: int) -> bool:
    first, second = (edge, part) if side > 0 else (part, edge)
    return Run(first).take(second)
