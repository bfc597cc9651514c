"""Text of a generator as Unicode: halves of a surrogate pair are put together, and a lone one is replaced."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")


def join_surrogates(text: str) -> str:
    """The text with pairs of surrogates as their character and U+FFFD for every lone one."""
    if text.isascii() or not _LONE.search(text):
        return text
    return _LONE.sub(_REPLACEMENT, _PAIR.sub(_character, text))


async def join_surrogate_stream(deltas: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The deltas, of which a pair may lie in two; none of them is empty. Closing it closes them."""
    held = ""
    async with aclosing(deltas):
        async for delta in deltas:
            text = held + delta
            held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
            if text := join_surrogates(text.removesuffix(held) if held else text):
                yield text
        if held:
            yield _REPLACEMENT


def _character(pair: re.Match[str]) -> str:
    return pair.group().encode("utf-16", "surrogatepass").decode("utf-16")
