"""An endpoint of OpenAI's shape."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from retrieval.generation.kinds.kind import GeneratorSettings, Kind

if TYPE_CHECKING:
    from retrieval.generation.generators import Generator


class OpenAISettings(GeneratorSettings):
    """Of an endpoint. A key is never part of them, only where to find it."""

    base_url: str | None = Field(
        None, description="openai: address of the endpoint, up to /v1, as in http://127.0.0.1:8001/v1."
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="openai: name of the environment variable that holds the key.",
    )

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


def open_openai(settings: OpenAISettings, threads: int | None) -> "Generator":
    """Raises ConfigError where the key's environment variable is not set."""
    from retrieval.generation.generators import OpenAIGenerator  # and its HTTP client

    base_url, model = settings.base_url or "", settings.model or ""
    return OpenAIGenerator(base_url, model, api_key_env=settings.api_key_env, timeout_s=settings.timeout_s)


OPENAI = Kind(
    "openai", "any endpoint of OpenAI's shape", open_openai, model="the model's name there",
    settings=OpenAISettings, needs=("base_url", "model"), decodes=("prompt", "active"),
)  # fmt: skip
