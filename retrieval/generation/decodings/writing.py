"""Writes an answer over what was found: by one prompt, over passages by themselves, or by sentences."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from retrieval.errors import ConfigError
from retrieval.generation.citations import CitationFilter, numbers_of
from retrieval.generation.claims import CheckedAnswer, Verifier
from retrieval.generation.context import Context
from retrieval.generation.decodings.active import least, query_of
from retrieval.generation.decodings.marginal_answer import lone_prompts, write_over_passages
from retrieval.generation.decodings.progress import Need, Progress, Wanted
from retrieval.generation.decodings.settings import MARGINAL
from retrieval.generation.decodings.timed import Timed
from retrieval.generation.evidence import Evidence
from retrieval.generation.generators import Drafting, Generator, Marginal
from retrieval.generation.prompt import Prompt, make_prompt
from retrieval.generation.settings import GenerationSettings
from retrieval.results import Citation

_NUMBERS = re.compile(r"\[([\d\s,;\u2013-]+)\]")


class Writing:
    """An answer that is being written, and its citations checked.

    `text`, `claims`: so far. `removed`, `moved`: numbers that were taken out, or stand in place of others.
    `left_out`: passages that did not fit. `read`: places of the passages that were, in their order, of the
    last one `cut` characters, where it is not whole. `tokens`: that were written. `marginal`: the shares of
    the passages, where each was read by itself.
    """

    def __init__(
        self, progress: Progress, context: Context, evidence: Evidence, generator: Generator,
        settings: GenerationSettings, timed: Timed,
    ) -> None:  # fmt: skip
        self.text, self.claims, self.tokens = progress.text, progress.claims, progress.tokens
        self.removed, self.moved, self.left_out = progress.removed, progress.moved, 0
        self.read: Sequence[int] = ()
        self.cut: int | None = None
        self.marginal: Marginal | None = None
        self.citations: tuple[Citation, ...] = ()
        self._progress, self._context, self._evidence = progress, context, evidence
        self._generator, self._settings, self._timed = generator, settings, timed

    def write(self) -> AsyncGenerator[str | Need, None]:
        """Pieces of the text; a search that has to come first ends it."""
        if self._settings.decode in MARGINAL:
            return self._over_passages()
        return self._actively() if self._settings.decode == "active" else self._by_prompt()

    async def _by_prompt(self) -> AsyncGenerator[str | Need, None]:
        generator = self._generator
        prompt = await self._prompt(range(len(self._context.passages)))
        checked = await self._checking(prompt.passages)
        written = generator.stream(
            prompt, max_tokens=self._settings.max_tokens, temperature=self._settings.temperature,
            stop=self._settings.stop,
        )  # fmt: skip
        async with aclosing(self._checked(self._timed.text(written, generator.name), checked)) as deltas:
            async for delta in deltas:
                yield delta
        self.tokens = generator.count_tokens(self.text) if self.text else 0

    async def _prompt(self, order: Sequence[int]) -> Prompt:
        """Passages by their places, in this order, as far as there is room."""
        passages, dates = self._context.passages, self._context.dates
        prompt = await self._timed.in_thread(
            make_prompt, self._progress.asked, [passages[place] for place in order],
            self._generator.count_tokens, self._settings.context_tokens, [dates[place] for place in order],
        )  # fmt: skip
        self.left_out, self.read, self.cut = prompt.left_out, order[: prompt.passages], prompt.cut
        return prompt

    async def _checking(self, given: int) -> CheckedAnswer:
        """What checks the answer against what is read. given: numbers up to it are citations."""
        with self._timed.stage("citations"):
            verifier = await self._timed.in_thread(Verifier, self._evidence, self.read)
        return CheckedAnswer(verifier, given, self.text, self.claims)

    async def _certain(self, checked: CheckedAnswer, work: Callable[[], str]) -> str:
        with self._timed.stage("citations"):
            found = await self._timed.in_thread(work)
        self.text, self.claims = checked.text, tuple(checked.claims)
        return found

    async def _finished(self, checked: CheckedAnswer) -> None:
        with self._timed.stage("citations"):
            found = await self._timed.in_thread(checked.citations, self._context.passages)
        self.citations = tuple(found)
        self.removed += checked.removed
        self.moved += checked.moved

    async def _checked(
        self, written: AsyncGenerator[str, None], checked: CheckedAnswer
    ) -> AsyncGenerator[str, None]:
        """What is written, as far as it is certain."""
        async with aclosing(written) as deltas:
            async for delta in deltas:
                if found := await self._certain(checked, partial(checked.feed, delta)):
                    yield found
        if found := await self._certain(checked, checked.finish):
            yield found
        await self._finished(checked)

    async def _over_passages(self) -> AsyncGenerator[str | Need, None]:
        """Each passage is number 1 in its prompt, which says nothing of the whole: citations come later."""
        generator, settings, context = self._generator, self._settings, self._context
        passages = context.passages[: settings.marginal.passages]
        self.left_out, self.read = len(context.passages) - len(passages), range(len(passages))
        prompts = await self._timed.in_thread(
            lone_prompts, self._progress.asked, passages, generator.count_tokens, settings.context_tokens,
            context.dates,
        )  # fmt: skip
        hits = [passage.best for passage in passages]
        whole: list[Marginal] = []

        async def texts() -> AsyncGenerator[str, None]:
            written = write_over_passages(hits, generator, settings, prompts)
            async with aclosing(written) as events:
                async for event in events:
                    if isinstance(event, str):
                        yield event
                    else:
                        whole.append(event)

        checked = await self._checking(0)
        async with aclosing(self._checked(self._timed.text(texts(), generator.name), checked)) as deltas:
            async for delta in deltas:
                yield delta
        self.marginal, self.removed = whole[0], 0
        self.tokens = whole[0].count

    async def _actively(self) -> AsyncGenerator[str | Need, None]:
        settings, active, progress = self._settings, self._settings.active, self._progress
        if not isinstance(self._generator, Drafting):
            raise ConfigError(
                f"{self._generator.name} does not tell how likely its words are, which decode: active needs",
                hint="Choose a local generator or an endpoint that offers logprobs, or decode: prompt.",
            )
        searched = sum(step.reason == "uncertain" for step in progress.steps)
        again = bool(progress.steps) and progress.steps[-1].reason == "uncertain"
        prompt = await self._prompt(self._newest_first())
        checked = await self._checking(len(self._context.passages))
        while self.tokens < settings.max_tokens:
            most = min(active.sentence_tokens, settings.max_tokens - self.tokens)
            draft = await self._timed.one(
                self._generator.draft(
                    prompt, _plain(self.text), max_tokens=most, temperature=settings.temperature,
                    stop=settings.stop,
                ),
                self._generator.name,
            )  # fmt: skip
            if not draft.text:
                break
            probability, query = least(draft), query_of(draft, active.beta)
            if query and probability < active.theta and searched < active.rounds and not again:
                kept = replace(
                    progress, text=self.text, tokens=self.tokens, claims=self.claims,
                    removed=self.removed + checked.removed, moved=self.moved + checked.moved,
                )  # fmt: skip
                yield Need("uncertain", (Wanted(query, draft.text, round(probability, 4)),), kept)
                return
            again = False  # what is written over the passages of a search is kept
            sentence = self._numbered(draft.text)
            self.tokens += len(draft.tokens)
            yield await self._certain(checked, partial(_sentence, checked, sentence))
            if draft.ended:
                break
        await self._finished(checked)

    def _newest_first(self) -> list[int]:
        """Places of the passages: those of the latest search first, if it was made of a draft."""
        progress, holding = self._progress, self._context.holding
        order = progress.reading()
        if progress.steps[-1].reason == "uncertain":
            order = [*progress.lists[-1], *order]
        found = dict.fromkeys(holding[place] for place in order if place in holding)
        return list(dict.fromkeys([*found, *range(len(self._context.passages))]))

    def _numbered(self, sentence: str) -> str:
        """With the numbers that passages have in the answer for those that they have in the prompt."""
        order = self.read
        checked = CitationFilter(len(order))
        text = checked.feed(sentence) + checked.finish()
        self.removed += checked.removed

        def told(match: re.Match[str]) -> str:
            own = (order[number - 1] + 1 for number in numbers_of(match[1], len(order)))
            return f"[{', '.join(map(str, own))}]"

        return _NUMBERS.sub(told, text)


def _sentence(checked: CheckedAnswer, sentence: str) -> str:
    """What is added to an answer by a whole sentence."""
    return checked.feed(f" {sentence}" if checked.text else sentence) + checked.finish()


def _plain(text: str) -> str:
    """Without citations: their numbers are those of the answer, not of the prompt."""
    return _NUMBERS.sub("", text).replace("  ", " ")
