"""Writes an answer over what was found: by one prompt, over passages by themselves, or by sentences."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from retrieval.errors import ConfigError
from retrieval.generation.citations import CitationFilter, numbers_of
from retrieval.generation.decodings.active import least, query_of
from retrieval.generation.decodings.marginal_answer import lone_prompts, write_over_passages
from retrieval.generation.decodings.progress import Need, Progress, Wanted
from retrieval.generation.decodings.settings import MARGINAL
from retrieval.generation.decodings.timed import Timed
from retrieval.generation.generators import Drafting, Generator, Marginal
from retrieval.generation.prompt import make_prompt
from retrieval.generation.settings import GenerationSettings

_NUMBERS = re.compile(r"\[([\d\s,;\u2013-]+)\]")


class Writing:
    """An answer that is being written. `text`: so far. `removed`: numbers of no passage that were taken out.

    `left_out`: passages that did not fit. `read`: places of the passages that may be cited. `tokens`: that
    were written. `marginal`: the shares of the passages, where each was read by itself.
    """

    def __init__(
        self, progress: Progress, generator: Generator, settings: GenerationSettings, timed: Timed
    ) -> None:
        self.text, self.removed, self.left_out = progress.text, 0, 0
        self.read: Sequence[int] = ()
        self.tokens = progress.tokens
        self.marginal: Marginal | None = None
        self._progress, self._generator = progress, generator
        self._settings, self._timed = settings, timed

    def write(self) -> AsyncGenerator[str | Need, None]:
        """Pieces of the text; a search that has to come first ends it."""
        if self._settings.decode in MARGINAL:
            return self._over_passages()
        return self._actively() if self._settings.decode == "active" else self._by_prompt()

    async def _by_prompt(self) -> AsyncGenerator[str | Need, None]:
        progress, generator = self._progress, self._generator
        prompt = await self._timed.in_thread(
            make_prompt, progress.asked, progress.hits, generator.count_tokens, self._settings.context_tokens
        )
        self.left_out, self.read = prompt.left_out, range(prompt.passages)
        checked = CitationFilter(prompt.passages)
        written = generator.stream(
            prompt, max_tokens=self._settings.max_tokens, temperature=self._settings.temperature,
            stop=self._settings.stop,
        )  # fmt: skip
        async with aclosing(self._checked(self._timed.text(written, generator.name), checked)) as deltas:
            async for delta in deltas:
                yield delta
        self.tokens = generator.count_tokens(self.text) if self.text else 0

    async def _checked(
        self, written: AsyncGenerator[str, None], checked: CitationFilter
    ) -> AsyncGenerator[str, None]:
        """What is written, without white space in front and without numbers of no passage."""
        async with aclosing(written) as deltas:
            async for delta in deltas:
                if delta := checked.feed(delta if self.text else delta.lstrip()):
                    self.text += delta
                    yield delta
        if rest := checked.finish():
            self.text += rest
            yield rest
        self.removed = checked.removed

    async def _over_passages(self) -> AsyncGenerator[str | Need, None]:
        """Each passage is number 1 in its prompt, which says nothing of the whole: citations come later."""
        progress, generator, settings = self._progress, self._generator, self._settings
        hits = progress.hits[: settings.marginal.passages]
        self.left_out, self.read = len(progress.hits) - len(hits), range(len(hits))
        prompts = await self._timed.in_thread(
            lone_prompts, progress.asked, hits, generator.count_tokens, settings.context_tokens
        )
        whole: list[Marginal] = []

        async def texts() -> AsyncGenerator[str, None]:
            written = write_over_passages(hits, generator, settings, prompts)
            async with aclosing(written) as events:
                async for event in events:
                    if isinstance(event, str):
                        yield event
                    else:
                        whole.append(event)

        checked = CitationFilter(0)
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
        order = self._newest_first()
        prompt = await self._timed.in_thread(
            make_prompt, progress.asked, [progress.hits[place] for place in order],
            self._generator.count_tokens, settings.context_tokens,
        )  # fmt: skip
        self.left_out, self.read = prompt.left_out, sorted(order[: prompt.passages])
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
                return
            probability, query = least(draft), query_of(draft, active.beta)
            if query and probability < active.theta and searched < active.rounds and not again:
                kept = replace(progress, text=self.text, tokens=self.tokens)
                yield Need("uncertain", (Wanted(query, draft.text, round(probability, 4)),), kept)
                return
            again = False  # what is written over the passages of a search is kept
            sentence = self._numbered(draft.text, order[: prompt.passages])
            delta = f" {sentence}" if self.text else sentence
            self.text, self.tokens = self.text + delta, self.tokens + len(draft.tokens)
            yield delta
            if draft.ended:
                return

    def _newest_first(self) -> list[int]:
        """Places of the hits: those of the latest search first, if it was made of a draft."""
        progress = self._progress
        order = progress.reading()
        if progress.steps[-1].reason != "uncertain":
            return order
        return list(dict.fromkeys([*progress.lists[-1], *order]))

    def _numbered(self, sentence: str, order: Sequence[int]) -> str:
        """With the numbers that passages have in the answer for those that they have in the prompt."""
        checked = CitationFilter(len(order))
        text = checked.feed(sentence) + checked.finish()
        self.removed += checked.removed

        def told(match: re.Match[str]) -> str:
            own = (order[number - 1] + 1 for number in numbers_of(match[1], len(order)))
            return f"[{', '.join(map(str, own))}]"

        return _NUMBERS.sub(told, text)


def _plain(text: str) -> str:
    """Without citations: their numbers are those of the answer, not of the prompt."""
    return _NUMBERS.sub("", text).replace("  ", " ")
