"""Settings of what is read of the passages found."""

from pydantic import Field

from retrieval.settings import MOST_NEIGHBOURS, Settings


class ContextSettings(Settings):
    """What is read of the passages that a search found; a request may say otherwise in `context`.

    Passages of one document that touch or overlap are joined, and copies of better ones left out, always.
    """

    expand: int = Field(
        0,
        ge=0,
        le=MOST_NEIGHBOURS,
        description="Passages before and after one that was found, in its document, of which the sentences "
        "next to it are read too, the best passage's first: they take at most half of context_tokens.",
    )
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0: passages are read in the order of the search. Above: those that repeat the words of "
        "others come later (maximal marginal relevance), at 1 whatever their scores.",
    )
    date: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Metadata field of type date that the prompt tells with a passage's title.",
    )
