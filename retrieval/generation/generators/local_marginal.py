"""Marginal decoding with a model in this process: from prompts to the text of an answer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from retrieval.errors import ConfigError
from retrieval.generation.generators.pieces import Pieces
from retrieval.generation.generators.stop_texts import StopFilter
from retrieval.generation.generators.written import Marginal, MarginalRequest
from retrieval.generation.marginal import (
    CausalConditionals,
    Conditionals,
    Decoded,
    EncoderDecoderConditionals,
    decode_sequence,
    decode_token,
    stream_token,
)

# What a token begins with that begins a line: as it is, as byte-level tokenizers write it, and as a byte.
_LINE = ("\n", "\u010a", "<0x0A>")


def line_tokens(tokenizer: Any) -> set[int]:
    """Tokens that begin a new line."""
    return {number for token, number in tokenizer.get_vocab().items() if token.startswith(_LINE)}


def after_prompts(
    model: Any, prompts: Sequence[Sequence[int]], ends: Sequence[int], most: int
) -> Conditionals:
    """The model after its prompts, whichever kind it is. most: tokens of an answer."""
    two_sided = model.config.is_encoder_decoder
    return (EncoderDecoderConditionals if two_sided else CausalConditionals)(model, prompts, ends, most)


@torch.inference_mode()
def write_marginal(
    model: Conditionals, tokenizer: Any, request: MarginalRequest, stops: Sequence[str],
    emit: Callable[[str], None],
) -> Marginal:  # fmt: skip
    """Decode as asked; `emit` gets the text, piece by piece where there is one beam by token.

    Raises ConfigError where nothing ends an answer, and for a temperature with beams.
    """
    if model.end < 0:
        raise ConfigError("the generator has no token that ends a text", hint="Choose decode: prompt.")
    prior = torch.tensor(request.prior, device=model.device)
    if request.decode == "token" and request.beams == 1:
        return _streamed(model, tokenizer, request, prior, stops, emit)
    if request.temperature:
        raise ConfigError(
            f"decode {request.decode} with several beams takes the likeliest answer: it has no temperature",
            hint="Set temperature: 0, or decode: token with marginal.beams: 1.",
        )
    if request.decode == "token":
        found = decode_token(model, prior, beams=request.beams, most=request.max_tokens)
    else:
        thorough = request.decode == "sequence"
        found = decode_sequence(
            model, prior, beams=request.beams, most=request.max_tokens, thorough=thorough
        )[0]
    return _whole(found, tokenizer, model.end, stops, emit)


def _streamed(
    model: Conditionals, tokenizer: Any, request: MarginalRequest, prior: torch.Tensor,
    stops: Sequence[str], emit: Callable[[str], None],
) -> Marginal:  # fmt: skip
    pieces, held = Pieces(tokenizer), StopFilter(stops)
    text, total = "", 0.0
    tokens: list[tuple[str, tuple[float, ...]]] = []
    shares: list[tuple[float, ...]] = []
    stream = stream_token(model, prior, most=request.max_tokens, temperature=request.temperature)
    for token, weights, score in stream:
        total += score
        shares.append(weights)
        if token == model.end:
            break
        piece = pieces.feed(token)
        tokens.append((piece, weights))
        certain = held.feed(piece)
        text += certain
        emit(certain)
        if held.stopped:
            break
    if rest := held.finish():
        text += rest
        emit(rest)
    return Marginal(text, total, _mean(shares), tuple(tokens), len(pieces.tokens))


def _whole(
    found: Decoded, tokenizer: Any, end: int, stops: Sequence[str], emit: Callable[[str], None]
) -> Marginal:
    pieces, held = Pieces(tokenizer), StopFilter(stops)
    parts = [pieces.feed(token) for token in found.tokens if token != end]
    text = "".join(held.feed(part) for part in parts) + held.finish()
    emit(text)
    tokens = zip(parts, found.token_weights, strict=False)  # the end has no text
    return Marginal(text, found.likelihood, found.weights, tuple(tokens), len(parts))


def _mean(shares: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(own) / len(shares) for own in zip(*shares, strict=True))
