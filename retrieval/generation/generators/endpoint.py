"""Any endpoint of OpenAI's shape: chat completions, streamed."""

import json
import math
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from retrieval.errors import ConfigError, GenerationError
from retrieval.generation.generators.sentence_draft import SentenceDraft
from retrieval.generation.generators.written import Draft, Token
from retrieval.generation.prompt import Prompt, estimate_tokens
from retrieval.text import LineReader, join_surrogate_stream, join_surrogates

CONNECT_S = 10.0
MOST_LINE = 1_000_000  # characters of one event: an endpoint is not trusted with this machine's memory
_GO_ON = "Go on with the next sentence of the answer, and do not repeat what is there."
MOST_ERROR = 300  # characters of an endpoint's own words in a message


class OpenAIGenerator:
    """Chat completions of a model behind `base_url`; a connection for each answer."""

    def __init__(self, base_url: str, model: str, *, api_key_env: str | None, timeout_s: float) -> None:
        """api_key_env: the environment variable with the key. Raises ConfigError where it is not set."""
        self.name, self.chats = model, True
        self._url = f"{base_url}/chat/completions"
        self._key_name = api_key_env
        # Of silence; the time of the whole answer is the caller's to keep.
        self._timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        self._ssl = httpx2.create_ssl_context()
        self._headers()

    def count_tokens(self, text: str) -> int:
        """An estimate: the tokenizer is at the endpoint."""
        return estimate_tokens(text)

    async def stream(
        self, prompt: Prompt, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> AsyncGenerator[str, None]:
        """As `Generator.stream`; closing it closes the connection, at which the endpoint stops."""
        body = self._body(prompt.messages, max_tokens, temperature, stop)
        async with self._asked({**body, "stream": True}) as response:
            async for delta in join_surrogate_stream(self._deltas(response)):
                yield delta

    async def draft(
        self, prompt: Prompt, written: str, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> Draft:
        """As `Drafting.draft`, from a completion's logprobs. Raises ConfigError where none are offered."""
        going_on = ({"role": "assistant", "content": written}, {"role": "user", "content": _GO_ON})
        messages = (*prompt.messages, *(going_on if written else ()))
        body = self._body(messages, max_tokens, temperature, stop)
        async with self._asked({**body, "logprobs": True}) as response:
            found = await self._completion(response)
        try:
            choice = found["choices"][0]
            offered = (choice.get("logprobs") or {}).get("content")
            tokens = [
                Token(str(one["token"]), math.exp(min(0.0, float(one["logprob"])))) for one in offered or ()
            ]
            content = str(choice["message"]["content"] or "")
            over = choice.get("finish_reason") != "length"
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            raise GenerationError(f"the endpoint {self._url} sent what is no chat completion") from error
        if content and not tokens:
            raise ConfigError(
                f"the endpoint {self._url} offers no logprobs, which decode: active needs",
                hint="Choose decode: prompt, or an endpoint that offers them.",
            )
        sentence = SentenceDraft((), len(tokens) + over)
        for token in tokens:
            if sentence.feed(token):
                break
        return sentence.finish()

    def _body(
        self, messages: Sequence[dict[str, str]], max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.name, "messages": list(messages), "max_tokens": max_tokens,
            "temperature": temperature,
        }  # fmt: skip
        return {**body, "stop": list(stop)} if stop else body

    async def _completion(self, response: httpx2.Response) -> Any:
        data = b""
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > MOST_LINE:
                raise GenerationError(f"the endpoint {self._url} sent over {MOST_LINE:,} bytes")
        try:
            return json.loads(data)
        except ValueError as error:
            raise GenerationError(f"the endpoint {self._url} sent what is no JSON") from error

    @asynccontextmanager
    async def _asked(self, body: dict[str, Any]) -> AsyncIterator[httpx2.Response]:
        """The response to a request, if it is a success."""
        try:
            async with (
                httpx2.AsyncClient(timeout=self._timeout, verify=self._ssl) as client,
                client.stream("POST", self._url, json=body, headers=self._headers()) as response,
            ):
                if response.status_code != 200:
                    raise await self._refused(response)
                yield response
        except httpx2.TimeoutException as error:
            raise GenerationError(
                f"the endpoint {self._url} was silent for too long", hint="Raise timeout_s, or ask again."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = self._told(str(error) or type(error).__name__)
            raise GenerationError(
                f"the endpoint {self._url} cannot be reached: {reason}",
                hint="Check base_url, and that the endpoint runs.",
            ) from error

    async def _deltas(self, response: httpx2.Response) -> AsyncGenerator[str, None]:
        finished = False
        async for line in _lines(response):
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                return
            try:
                event = json.loads(data)
                if "error" in event:
                    raise GenerationError(
                        f"the endpoint {self._url} failed: {self._told(str(event['error']))}"
                    )
                for choice in event.get("choices") or []:
                    finished = finished or choice.get("finish_reason") is not None
                    if text := (choice.get("delta") or {}).get("content"):
                        yield str(text)
            except (ValueError, AttributeError, TypeError) as error:
                raise GenerationError(
                    f"the endpoint {self._url} sent what is no chat completion: {self._told(data)}",
                    hint="Check that base_url ends with the path in front of /chat/completions.",
                ) from error
        if not finished:
            raise GenerationError(f"the endpoint {self._url} broke off its answer", hint="Ask again.")

    async def _refused(self, response: httpx2.Response) -> GenerationError:
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > 16 * MOST_ERROR:
                break
        hints = {
            401: "Check the key in the environment variable that api_key_env names.",
            404: "Check base_url and the name of the model.",
            429: "The endpoint is busy: ask again later.",
        }
        said = self._told(body.decode("utf-8", "replace"))
        return GenerationError(
            f"the endpoint {self._url} answered {response.status_code}: {said}",
            hint=hints.get(response.status_code, "See the endpoint's own log."),
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key()}"} if self._key_name else {}

    def _key(self) -> str:
        key = os.environ.get(self._key_name or "", "").strip()
        if self._key_name and not key:
            raise ConfigError(
                f"the environment variable {self._key_name}, named by api_key_env, is not set",
                hint="Set it to the endpoint's key, or leave api_key_env out.",
            )
        return key

    def _told(self, text: str) -> str:
        """An endpoint's words for a message: one short line, without the key, which some repeat."""
        key = os.environ.get(self._key_name or "", "").strip()
        text = text.replace(key, "***") if key else text
        line = " ".join(join_surrogates(text).split())
        return line if len(line) <= MOST_ERROR else f"{line[:MOST_ERROR]}…"


async def _lines(response: httpx2.Response) -> AsyncGenerator[str, None]:
    """Lines of a streamed response. Raises GenerationError for one without end."""
    reader = LineReader(MOST_LINE)
    try:
        async for data in response.aiter_bytes():
            for line in reader.feed(data):
                yield line
    except ValueError as error:
        raise GenerationError(
            f"the endpoint {response.url} sent a line of over {MOST_LINE:,} characters"
        ) from error
    if rest := reader.finish():
        yield rest
