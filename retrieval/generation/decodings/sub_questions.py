"""Questions of several hops, by a generator that plans: sub-questions, one after another."""

import re
from collections.abc import Sequence

from retrieval.deadline import Deadline
from retrieval.generation.decodings.completion import complete, instruction, plain_lines
from retrieval.generation.generators import Generator
from retrieval.generation.neutralized import inert
from retrieval.generation.prompt import NOT_IN_PASSAGES, QUESTION_CHARACTERS, make_prompt
from retrieval.results import Hit

PLAN_TOKENS = 160
ANSWER_TOKENS = 32
MOST_CHARACTERS = 300  # of a sub-question
_RULES = (
    "Split the question into at most {most} simple questions that are looked up one after another. Write "
    "each on a line of its own and nothing else. Where a question needs the answer to an earlier one, write "
    "#1 for the answer to the first, #2 for that to the second. Do not answer."
)
_NUMBER = re.compile(r"^\s*(?:\d{1,2}\s*[.):-]|[-*\u2022])\s*")
_ANSWER = re.compile(r"#(\d{1,2})")
_CITATION = re.compile(r"\s*\[[\d\s,;\u2013-]*\]")


async def plan(question: str, most: int, generator: Generator, deadline: Deadline) -> tuple[str, ...]:
    """Sub-questions, the earlier first; none where the generator gives no plan that can be followed."""
    asked = f"Question: {inert(question)[:QUESTION_CHARACTERS]}"
    text = await complete(generator, instruction(_RULES.format(most=most), asked), PLAN_TOKENS, deadline)
    return followable(text, most)


def followable(text: str, most: int) -> tuple[str, ...]:
    """The sub-questions of a plan: two to `most` lines, each a question that refers to earlier ones alone."""
    lines = [_NUMBER.sub("", line) for line in plain_lines(text)]
    if not 2 <= len(lines) <= most:
        return ()
    for place, line in enumerate(lines):
        refers = [int(number) for number in _ANSWER.findall(line)]
        if not line.endswith("?") or len(line) > MOST_CHARACTERS or any(n > place or n < 1 for n in refers):
            return ()
    return tuple(lines)


def filled(question: str, answers: Sequence[str]) -> str:
    """A sub-question with the answers that it refers to."""

    def known(match: re.Match[str]) -> str:
        place = int(match[1]) - 1
        return answers[place] if place < len(answers) else match[0]

    return _ANSWER.sub(known, question)


async def short_answer(
    question: str, hits: Sequence[Hit], generator: Generator, budget: int, deadline: Deadline
) -> str:
    """What the passages of a sub-question say, in a line; empty where they say nothing."""
    prompt = make_prompt(question, list(hits), generator.count_tokens, budget)
    lines = plain_lines(await complete(generator, prompt, ANSWER_TOKENS, deadline))
    said = _CITATION.sub("", lines[0]).strip() if lines else ""
    return "" if NOT_IN_PASSAGES in said.casefold() else said
