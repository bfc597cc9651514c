"""Settings of answers: which generator writes them, how much it reads, and when there is no answer."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from retrieval.settings import Settings

Kind = Literal["none", "local", "openai", "vllm"]


class GenerationSettings(Settings):
    """The generator, and what an answer is made with. A key is never part of it, only where to find it."""

    kind: Kind = Field(
        "none",
        description="none: the best sentences of the passages are the answer. local: a Hugging Face model in "
        "this process. openai: any endpoint of OpenAI's shape. vllm: on GPUs, through Ray Serve.",
    )
    model: str | None = Field(
        None,
        description="local: a folder's path or a Hugging Face name; default: Gemma 3 270M of the extra "
        "`local-llm`. openai, vllm: the model's name there.",
    )
    base_url: str | None = Field(
        None, description="openai: address of the endpoint, up to /v1, as in http://127.0.0.1:8001/v1."
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="openai: name of the environment variable that holds the key.",
    )
    max_tokens: int = Field(128, ge=1, le=8_192, description="Longest answer in the generator's tokens.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="Randomness of the answer; 0: always the likeliest."
    )
    stop: tuple[str, ...] = Field(
        (), max_length=4, description="Texts at which an answer ends; they are not part of it."
    )
    context_tokens: int = Field(
        1_024, ge=64, le=131_072, description="Most tokens of passages in the prompt, by rank."
    )
    concurrent: int = Field(
        1, ge=1, le=64, description="local: answers written at once; further ones wait for their turn."
    )
    timeout_s: float = Field(
        60.0, gt=0, le=3_600, description="Seconds until an unfinished answer is given up."
    )
    support_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Least support for an answer to be given; default: as calibrated. 0: always answer.",
    )

    @field_validator("stop")
    @classmethod
    def _stops_say_something(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text for text in stop):
            raise ValueError("a stop text is empty: every answer would end at once")
        return stop

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must start with http:// or https:// and name a host")
        if parts.username or parts.password or parts.query:
            # The value is kept out of the message: it may hold a key.
            raise ValueError("it must hold no key; name the key's environment variable in `api_key_env`")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> "GenerationSettings":
        if self.kind == "openai" and not (self.base_url and self.model):
            raise ValueError("kind openai needs `base_url` and `model`")
        if self.kind == "vllm" and not self.model:
            raise ValueError("kind vllm needs `model`")
        return self
