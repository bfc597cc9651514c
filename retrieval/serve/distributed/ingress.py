"""The application that Ray Serve runs: `build` for `serve deploy` with arguments, `app` for `serve build`."""

import asyncio
import os
from pathlib import Path
from typing import Any

from ray import serve

from retrieval.serve.configuration import read_settings
from retrieval.serve.distributed import vllm
from retrieval.serve.distributed.answer_server import (
    RemoteAnswers,
    generator_deployment,
    open_answer_generator,
)
from retrieval.serve.distributed.deployments import encoder, reranker, shard_group
from retrieval.serve.distributed.ray_backend import RayBackend
from retrieval.serve.distributed.replica_port import keep_to_loopback
from retrieval.serve.http import Keys, make_app
from retrieval.serve.listener import listen
from retrieval.serve.runtime import Answers, Backend, LocalAnswers, LocalBackend, Service
from retrieval.serve.settings import ServeSettings


@serve.ingress()
class Ingress:
    """One replica of the HTTP interface; with everything in it where the service is placed together."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: ServeSettings, parts: dict[str, Any] | None = None, llm: Any = None
    ) -> None:
        """parts: handles by name (`shards`, a list of them), where the service is placed apart. llm: that of
        vLLM, where it is placed together."""
        keep_to_loopback()
        keys = Keys.read(settings.access)
        backend: Backend
        answers: Answers
        if parts is None:
            backend = LocalBackend(settings)
            answers = await asyncio.to_thread(_answers_here, settings, llm)
        else:
            backend = RayBackend(settings, parts["shards"], parts["encoder"], parts["reranker"])
            answers = RemoteAnswers(parts["generator"], settings)
        self._service = Service(settings, backend, answers)
        await self._service.start()
        self._app = make_app(self._service, keys)
        listen(self._app)

    def __serve_build_asgi_app__(self) -> Any:
        return self._app


def _answers_here(settings: ServeSettings, llm: Any) -> LocalAnswers:
    return LocalAnswers(settings, open_answer_generator(settings, llm))


def build(args: dict[str, Any]) -> serve.Application:
    """The application with the settings `args`, those of ServeSettings. Raises ConfigError."""
    settings = ServeSettings.model_validate(args)
    options = settings.ingress.options(settings.longest_s)
    deployment = serve.deployment(Ingress, name="ingress", **options)
    llm = vllm.deployment(settings) if settings.generation.of.engine else None
    if settings.placement == "together":
        return deployment.bind(settings, None, llm)
    parts = {
        "shards": [shard_group(settings, number) for number in range(settings.groups)],
        "encoder": encoder(settings),
        "reranker": reranker(settings),
        "generator": generator_deployment(settings, llm),
    }
    return deployment.bind(settings, parts)


def __getattr__(name: str) -> Any:
    """`app`: with the settings of the file that CORPUSMILL_SERVE_CONFIG names, or for CORPUSMILL_INDEX."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    path = os.environ.get("CORPUSMILL_SERVE_CONFIG")
    settings = read_settings(os.environ.get("CORPUSMILL_INDEX"), Path(path) if path else None)
    return build(settings.model_dump())
