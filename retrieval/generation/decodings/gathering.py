"""Which search comes next before anything is written: a follow-up's, a sub-question's, a further hop's."""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.deadline import Deadline
from retrieval.generation.context import Context
from retrieval.generation.decodings.follow_up import standalone
from retrieval.generation.decodings.hops import next_queries
from retrieval.generation.decodings.progress import Need, Progress, Wanted
from retrieval.generation.decodings.sub_questions import filled, plan, short_answer
from retrieval.generation.evidence import Evidence
from retrieval.generation.generators import Generator
from retrieval.generation.settings import GenerationSettings
from retrieval.results import Hit, Step


async def first_search(
    progress: Progress, generator: Generator | None, settings: GenerationSettings, deadline: Deadline
) -> Need:
    """The search of a question that goes on with a conversation."""
    budget = settings.conversation_tokens
    asked = await standalone(progress.question, progress.turns, generator, budget, deadline)
    return Need("follow-up", (Wanted(asked),), replace(progress, asked=asked))


async def next_search(
    progress: Progress, context: Context, evidence: Evidence, generator: Generator | None,
    settings: GenerationSettings, deadline: Deadline,
) -> tuple[Progress, Need | None]:  # fmt: skip
    """The progress, with what was learnt, and the search that it needs; None where writing can begin.

    At most `settings.hops` searches are made of sub-questions, or of the question and its hops.
    """
    if settings.hops == 1:
        return progress, None
    if progress.plan is None:
        plans = generator is not None and generator.chats
        found = await plan(progress.asked, settings.hops, generator, deadline) if plans and generator else ()
        progress = replace(progress, plan=found)
    if progress.plan and generator is not None:
        progress = await _answered(progress, generator, settings, deadline)
    if progress.plan:
        answers = [step.text or "" for step in progress.steps if step.reason == "sub-question"]
        if len(answers) == len(progress.plan):
            return progress, None
        asked = filled(progress.plan[len(answers)], answers)
        return progress, Need("sub-question", (Wanted(asked),), progress)
    if len(progress.lists) < settings.hops and (wanted := next_queries(progress, context, evidence)):
        return progress, Need("hop", wanted, progress)
    return progress, None


async def _answered(
    progress: Progress, generator: Generator, settings: GenerationSettings, deadline: Deadline
) -> Progress:
    """With the answer to the latest sub-question; without a plan where there is none, as others need it."""
    step = progress.steps[-1]
    if step.reason != "sub-question" or step.text is not None:
        return progress
    hits = [progress.hits[place] for place in progress.lists[-1]]
    said = await short_answer(step.query, hits, generator, settings.context_tokens, deadline)
    if not said:
        return replace(progress, plan=())
    told = replace(step, text=said, cited=_holding(said, hits))
    return replace(progress, steps=(*progress.steps[:-1], told))


def _holding(said: str, hits: Sequence[Hit]) -> tuple[str, ...]:
    """Ids of the passages that hold an answer word for word."""
    return tuple(hit.passage_id for hit in hits if said.casefold().rstrip(".") in hit.text.casefold())


def begun(steps: Sequence[Step], text: str) -> bool:
    """Whether an answer is being written already."""
    return bool(text) or (bool(steps) and steps[-1].reason == "uncertain")
