"""A question that goes on with a conversation, said so that it can be searched for by itself."""

import re
from collections.abc import Callable, Sequence

from retrieval.deadline import Deadline
from retrieval.generation.decodings.completion import complete, instruction, plain_lines
from retrieval.generation.decodings.progress import Turn
from retrieval.generation.generators import Generator
from retrieval.generation.neutralized import inert

MOST_CHARACTERS = 400  # of what is searched for
_TOKENS = 64
_OF_AN_ANSWER = 200  # characters
_RULES = (
    "Rewrite the last question of the conversation so that it can be understood without it: put the names in "
    "for the words that refer to them. Write the question alone, on one line, and do not answer it."
)
_CITATION = re.compile(r"\s*\[[\d\s,;\u2013-]*\]")
_WORD = re.compile(r"\w+")
# English words that refer to something said before. In other languages every short question is taken to.
_REFERS = frozenset(
    "it its he him his she her hers they them their theirs this that these those there then one ones former "
    "latter same else other another".split()
)
_ALONE = 6  # words of a question in ASCII letters that refers to nothing and stands alone


async def standalone(
    question: str, turns: Sequence[Turn], generator: Generator | None, budget: int, deadline: Deadline
) -> str:
    """The question as it is searched for: by a generator that follows instructions, else by rule.

    budget: most tokens of earlier turns that the generator reads, the latest first.
    """
    if generator is not None and generator.chats:
        told = "\n".join(recent(turns, generator.count_tokens, budget))
        asked = f"Conversation:\n{told}\nLast question: {inert(question)[:MOST_CHARACTERS]}"
        lines = plain_lines(await complete(generator, instruction(_RULES, asked), _TOKENS, deadline))
        if len(lines) == 1 and _says_the_same(lines[0], question, turns):
            return lines[0][:MOST_CHARACTERS]
    return by_rule(question, turns)


def recent(turns: Sequence[Turn], count: Callable[[str], int], budget: int) -> list[str]:
    """Lines of the latest turns that fit, in their order."""
    lines: list[str] = []
    for turn in reversed(turns):
        line = f"{turn.role}: {inert(turn.content)}"
        budget -= count(line)
        if budget < 0:
            break
        lines.insert(0, line)
    return lines


def by_rule(question: str, turns: Sequence[Turn]) -> str:
    """The question behind the last one and the beginning of its answer, where it refers to them."""
    if not refers(question):
        return question
    asked = next((inert(one.content) for one in reversed(turns) if one.role == "user"), "")
    told = next((one.content for one in reversed(turns) if one.role == "assistant"), "")
    told = inert(_CITATION.sub("", told))[:_OF_AN_ANSWER]
    room = MOST_CHARACTERS - len(question)
    before = f"{asked} {told}".strip()[: max(0, room)]
    return f"{before} {question}".strip()


def refers(question: str) -> bool:
    """Whether a question seems to go on with what was said before."""
    words = [word.casefold() for word in _WORD.findall(question)]
    return len(words) < _ALONE or not question.isascii() or bool(_REFERS & set(words))


def _says_the_same(rewritten: str, question: str, turns: Sequence[Turn]) -> bool:
    """A rewriting takes its words from the conversation; a model that answers or invents does not."""
    said = " ".join([question, *(turn.content for turn in turns)]).casefold()
    known, own = set(_WORD.findall(said)), [word.casefold() for word in _WORD.findall(rewritten)]
    if not own or len(rewritten) > MOST_CHARACTERS:
        return False
    return sum(word in known for word in own) >= _FROM_THERE * len(own)


_FROM_THERE = 0.7
