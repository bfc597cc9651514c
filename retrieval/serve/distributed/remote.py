"""Answers of other deployments, with a deadline, and the models that live there."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import numpy as np
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError, DeadlineExceeded
from retrieval.format import Passage
from retrieval.results import TokenShare
from retrieval.search import TokenShareRequest, VectorCache
from retrieval.serve.errors import Overloaded, Unavailable

ATTEMPTS = 2  # another replica may be there where the first one died


def reply_of(
    response: DeploymentResponse, deadline: Deadline, again: Callable[[], DeploymentResponse]
) -> Any:
    """An answer, asked for `again` where a replica was lost. From a thread without an event loop.

    Where the deadline is cancelled meanwhile, so is what the replica does.

    Raises the CorpusmillError of the other side, DeadlineExceeded, Overloaded, or Unavailable.
    """
    for attempt in range(ATTEMPTS):
        try:
            with deadline.calling(response.cancel):
                return response.result(timeout_s=None if math.isinf(deadline.left) else deadline.left)
        except RayTaskError as error:
            if isinstance(error.cause, CorpusmillError):
                raise error.cause from error
            raise Unavailable(f"a part of the service failed: {type(error.cause).__name__}") from error
        except (TimeoutError, FutureTimeout) as error:
            response.cancel()
            raise DeadlineExceeded("a part of the service did not answer in time") from error
        except BackPressureError as error:  # asking again would make it worse
            raise Overloaded("a part of the service has as much to do as may wait (max_queued)") from error
        except (RayError, RayServeException) as error:
            deadline.check()
            if attempt + 1 == ATTEMPTS:
                name = type(error).__name__
                raise Unavailable(f"a part of the service does not answer: {name}") from error
            response = again()
    raise AssertionError("not reached")


def ask_replica(handle: DeploymentHandle, deadline: Deadline, method: str, *args: Any, **kwargs: Any) -> Any:
    """One answer of a deployment, whose method gets the seconds that are left first; see `result_of`."""
    again = sender(handle, deadline, method, *args, **kwargs)
    return reply_of(again(), deadline, again)


def sender(
    handle: DeploymentHandle, deadline: Deadline, method: str, *args: Any, **kwargs: Any
) -> Callable[[], DeploymentResponse]:
    """Sends a call, with the time that is left by then: clocks of two machines differ."""

    def send() -> DeploymentResponse:
        deadline.check()
        return handle.options(method_name=method).remote(deadline.left, *args, **kwargs)

    return send


class RemoteModels:
    """The models of one version behind handles, for one request."""

    def __init__(
        self, encoder: DeploymentHandle, reranker: DeploymentHandle, version: int, deadline: Deadline,
        name: str, known: VectorCache,
    ) -> None:  # fmt: skip
        """name: what tells the encoder from others. known: embeddings of earlier queries."""
        self._encoder = encoder
        self._reranker = reranker
        self._version = version
        self._deadline = deadline
        self._name = name
        self._known = known

    def load(self, name: str) -> bool:
        """Nothing is loaded here."""
        return False

    def encode(self, queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
        """Embeddings of queries (q, d) float32, and the places of those longer than the window."""

        def encode(new: Sequence[str]) -> tuple[np.ndarray, set[int]]:
            found: tuple[np.ndarray, set[int]] = ask_replica(
                self._encoder, self._deadline, "encode", self._version, list(new)
            )
            return found

        return self._known.encode(self._name, queries, encode)

    def encode_tokens(self, queries: Sequence[str]) -> list[np.ndarray]:
        """Token vectors (t, d) of queries."""
        return self._ask("encode_tokens", list(queries))

    def maxsim(
        self, tokens: Sequence[np.ndarray], passages: Sequence[Passage], wanted: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """MaxSim of each query's tokens with the passages at its `wanted` places."""
        return self._ask("maxsim", tokens, passages, wanted)

    def token_shares(self, asked: Sequence[TokenShareRequest]) -> list[list[TokenShare]]:
        """For each request, by query token, the passage token with the largest inner product."""
        return self._ask("token_shares", list(asked))

    def cross_scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Cross-encoder scores of (query, passage text): float32 (n,)."""
        found: np.ndarray = self._ask("cross_scores", pairs)
        return found

    def _ask(self, method: str, *args: Any) -> Any:
        return ask_replica(self._reranker, self._deadline, "call", self._version, method, *args)
