"""What a generator gives beside its text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """A piece of a text as the model wrote it, and how likely it was, 0 to 1."""

    text: str
    probability: float


@dataclass(frozen=True)
class Draft:
    """A sentence, and the tokens that it was made of. `ended`: nothing comes after it."""

    text: str
    tokens: tuple[Token, ...]
    ended: bool


@dataclass(frozen=True)
class Marginal:
    """An answer over k passages, each read by itself. `likelihood`: log p(y | x).

    `weights`: (k,) share of each passage. `tokens`, by token alone: pieces of the text and the (k,) shares of
    each. `count`: tokens that were written.
    """

    text: str
    likelihood: float
    weights: tuple[float, ...]
    tokens: tuple[tuple[str, tuple[float, ...]], ...]
    count: int


@dataclass(frozen=True)
class MarginalRequest:
    """What is decoded: `decode` is sequence, sequence-fast or token; `prior` (k,) of log p(z | x)."""

    decode: str
    prior: tuple[float, ...]
    beams: int
    max_tokens: int
    temperature: float
    stop: tuple[str, ...]
