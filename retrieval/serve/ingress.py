"""The application that Ray Serve runs: `app` for `serve build`, `build` for `serve deploy` with arguments."""

from typing import Any

from ray import serve

from retrieval.serve.access import Keys
from retrieval.serve.answering import Answering, Answers, RemoteAnswers, generator
from retrieval.serve.app import make_app
from retrieval.serve.backends import Apart, Backend, Together
from retrieval.serve.deployments import encoder, reranker, shard_group
from retrieval.serve.service import Service
from retrieval.serve.settings import ServeSettings


@serve.ingress()
class Ingress:
    """One replica of the HTTP interface; with everything in it where the service is placed together."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: ServeSettings, parts: dict[str, Any] | None = None
    ) -> None:
        """parts: handles by name (`shards`, a list of them), where the service is placed apart."""
        self._keys = Keys.read(settings.access)
        backend: Backend
        answers: Answers
        if parts is None:
            backend, answers = Together(settings), Answering(settings)
        else:
            backend = Apart(settings, parts["shards"], parts["encoder"], parts["reranker"])
            answers = RemoteAnswers(parts["generator"])
        self._service = Service(settings, backend, answers)
        await self._service.start()

    def __serve_build_asgi_app__(self) -> Any:
        return make_app(self._service, self._keys)


def build(args: dict[str, Any]) -> serve.Application:
    """The application with the settings `args`, those of ServeSettings. Raises ConfigError."""
    settings = ServeSettings.model_validate(args)
    deployment = serve.deployment(Ingress, name="ingress", **settings.ingress.options())
    if settings.placement == "together":
        return deployment.bind(settings)
    parts = {
        "shards": [shard_group(settings, number) for number in range(settings.groups)],
        "encoder": encoder(settings),
        "reranker": reranker(settings),
        "generator": generator(settings),
    }
    return deployment.bind(settings, parts)
