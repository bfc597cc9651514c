"""Settings of how an answer is decoded from passages."""

from typing import Literal

from pydantic import Field

from retrieval.settings import Settings

Decode = Literal["prompt", "sequence", "sequence-fast", "token", "active"]
MARGINAL = ("sequence", "sequence-fast", "token")
LINES = {
    "prompt": "all passages in one prompt",
    "sequence": "RAG-Sequence, the likeliest whole answer over the passages, each read by itself",
    "sequence-fast": "the same, where each answer counts only under the passages that gave it",
    "token": "RAG-Token, the likeliest next token over the passages, streamed",
    "active": "a sentence at a time, with another search where it is uncertain (FLARE)",
}
_BEAMS = {"token": 1}  # with one beam it can be streamed
_USUAL_BEAMS = 4


class MarginalSettings(Settings):
    """Of sequence, sequence-fast and token."""

    passages: int = Field(4, ge=1, le=16, description="Best passages that are read, each by itself.")
    beams: int | None = Field(
        None, ge=1, le=8, description="Hypotheses that are followed; default: 1 for token, else 4."
    )
    prior: Literal["dense", "score", "equal"] = Field(
        "dense",
        description="How likely each passage is beforehand: by its dense score, by the score of the last "
        "stage (as of a re-ranker), or all alike.",
    )
    prior_scale: float = Field(
        20.0, gt=0, le=1_000, description="Scores are multiplied by it before the softmax over passages."
    )

    def width(self, decode: str) -> int:
        """Beams of a decoding."""
        return self.beams or _BEAMS.get(decode, _USUAL_BEAMS)


class ActiveSettings(Settings):
    """Of active (FLARE, Jiang et al. 2023)."""

    theta: float = Field(
        0.4, ge=0, le=1, description="A sentence with a token of less probability is searched for."
    )
    beta: float = Field(
        0.4, ge=0, le=1, description="Words with a token of less probability are left out of that search."
    )
    rounds: int = Field(3, ge=0, le=16, description="Most searches while an answer is written.")
    sentence_tokens: int = Field(64, ge=8, le=512, description="Longest sentence.")
