"""An answer over several passages, each read by itself (RAG-Sequence and RAG-Token)."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from retrieval.errors import ConfigError
from retrieval.generation.decodings.settings import MarginalSettings
from retrieval.generation.evidence import Readable
from retrieval.generation.generators import Generator, Marginal, Marginalizing, MarginalRequest
from retrieval.generation.prompt import Prompt, make_prompt
from retrieval.generation.settings import GenerationSettings
from retrieval.results import Hit


def prior(hits: Sequence[Hit], settings: MarginalSettings) -> tuple[float, ...]:
    """log p(z | x) of the hits: the log softmax of their scaled scores.

    A hit that the dense stage does not list has the lowest score of those that it lists; where it lists
    none, all are alike.
    """
    from retrieval.generation.marginal import log_prior

    scores = [_score(hit, settings.prior) for hit in hits]
    known = [score for score in scores if score is not None]
    least = min(known, default=0.0)
    import torch  # answers that need none load none

    found = torch.tensor([least if score is None else score for score in scores])
    return tuple(log_prior(found, settings.prior_scale).tolist())


def _score(hit: Hit, kind: str) -> float | None:
    if kind == "equal":
        return None
    if kind == "score":
        return hit.score
    dense = hit.stages.get("dense")
    return None if dense is None else dense.score


def lone_prompts(
    question: str, passages: Sequence[Readable], count: Callable[[str], int], budget: int,
    dates: Sequence[str] = (),
) -> list[Prompt]:  # fmt: skip
    """A prompt for each passage; together they have the budget of one that holds them all."""
    own = max(1, budget // len(passages))
    return [
        make_prompt(question, [passage], count, own, dates[place : place + 1])
        for place, passage in enumerate(passages)
    ]


async def write_over_passages(
    hits: Sequence[Hit], generator: Generator, settings: GenerationSettings,
    prompts: Sequence[Prompt],
) -> AsyncGenerator[str | Marginal, None]:  # fmt: skip
    """Pieces of the text, then the whole with the share of each passage.

    Raises ConfigError where the generator's distributions cannot be had, and what the generator raises.
    """
    if not isinstance(generator, Marginalizing):
        raise ConfigError(
            f"{generator.name} does not tell what it thinks of each token, which decode: {settings.decode} "
            "needs",
            hint="Choose a local generator, or decode: prompt.",
        )
    request = MarginalRequest(
        settings.decode, prior(hits, settings.marginal), settings.marginal.width(settings.decode),
        settings.max_tokens, settings.temperature, settings.stop,
    )  # fmt: skip
    async with aclosing(generator.marginal(prompts, request)) as written:
        async for event in written:
            yield event
