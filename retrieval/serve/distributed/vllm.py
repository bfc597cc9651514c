"""vLLM on GPUs, as Ray Serve's own deployment. Imported only where it is configured.

An engine takes `generator.gpus` GPUs, at least one, and on each of them `generator.cpus` and `resources`.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from retrieval.errors import ConfigError, GenerationError
from retrieval.generation import Prompt, estimate_tokens
from retrieval.serve.settings import ServeSettings
from retrieval.text import split_lines


def deployment(settings: ServeSettings) -> serve.Application:
    """The engine as a deployment of the application. Raises ConfigError where vLLM is not installed."""
    try:
        from ray.serve.llm import LLMConfig, build_llm_deployment
    except ImportError as error:
        raise ConfigError(
            f"generation.kind is vllm, but vLLM cannot be imported: {error}",
            hint="Install it on the machines with GPUs: pip install 'ray[llm]', or choose another generator.",
        ) from error
    placement = settings.generator
    scale = placement.autoscaling.model_dump() if placement.autoscaling else {}
    scaling = scale or {"min_replicas": placement.replicas, "max_replicas": placement.replicas}
    model = settings.generation.model
    gpus = max(1, int(placement.gpus))
    worker = {"CPU": placement.cpus, "GPU": 1, **placement.resources}
    return build_llm_deployment(
        LLMConfig(
            model_loading_config={"model_id": model, "model_source": model},
            engine_kwargs={"tensor_parallel_size": gpus},
            placement_group_config={"bundle_per_worker": worker},
            deployment_config={
                "autoscaling_config": scaling,
                "max_ongoing_requests": placement.max_ongoing,
                "max_queued_requests": placement.max_queued,
            },
        )
    )


class VLLMGenerator:
    """Chat completions of that deployment; see `retrieval.generation.generators.generator.Generator`."""

    def __init__(self, handle: DeploymentHandle, model: str) -> None:
        self.name, self.chats = model, True
        self._handle = handle.options(stream=True)

    def count_tokens(self, text: str) -> int:
        """An estimate: the tokenizer is in the other process."""
        return estimate_tokens(text)

    async def stream(
        self, prompt: Prompt, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> AsyncGenerator[str, None]:
        """As `Generator.stream`; closing it cancels the request, at which the engine stops."""
        from ray.serve.llm.openai_api_models import ChatCompletionRequest

        request = ChatCompletionRequest(
            model=self.name, messages=list(prompt.messages), stream=True, max_tokens=max_tokens,
            temperature=temperature, stop=list(stop) or None,
        )  # fmt: skip
        response = self._handle.chat.remote(request)
        try:
            async for found in response:
                for item in found if isinstance(found, list) else [found]:
                    for text in _pieces(item):
                        yield text
        finally:
            response.cancel()


def _pieces(item: Any) -> list[str]:
    """Texts of what the engine sent: lines of server-sent events, or an error."""
    if not isinstance(item, str):
        raise GenerationError(f"vLLM failed: {str(item)[:300]}")
    found = []
    for line in split_lines(item):
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise GenerationError(f"vLLM failed: {str(event['error'])[:300]}")
        for choice in event.get("choices") or []:
            text = (choice.get("delta") or {}).get("content")
            found += [text] if text else []
    return found
