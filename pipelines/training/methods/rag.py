"""RAG, end to end: query encoder and generator learn from the marginal likelihood of the answer.

The index gives the passages for the query vector of now, without a gradient; the prior is computed anew from
the live vector and the stored ones. Index and passage encoder stay until a refresh.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.judged import holds_any, sequences_of
from pipelines.training.errors import TrainingFailed
from pipelines.training.examples import Example
from pipelines.training.losses import marginal_loss, prior_entropy
from pipelines.training.methods.bank import stored_vectors
from pipelines.training.models import Tower, TrainedGenerator
from pipelines.training.refresh import Refresher
from pipelines.training.running import World
from pipelines.training.settings import RagSettings, TrainConfig
from retrieval.format import Passage
from retrieval.generation import make_prompt
from retrieval.search import Searcher

_COLLAPSED = 0.05  # of log k: the prior has settled on one passage
_WATCHED = 50  # questions that the warning looks back on


@dataclass(frozen=True)
class Retrieved:
    """Passages of a question, best first, and their stored vectors (k, d) float32."""

    passages: list[Passage]
    vectors: Tensor


class EndToEnd:
    """Query tower and generator. `measure_name`: mean log-likelihood of dev answers."""

    measure_name = "log_likelihood"

    def __init__(
        self, tower: Tower, generator: TrainedGenerator, searcher: Searcher, dev: Sequence[Example],
        settings: RagSettings, refresher: Refresher | None = None,
    ) -> None:  # fmt: skip
        self.tower, self.generator = tower, generator
        self._searcher, self._dev, self._settings = searcher, dev, settings
        self._refresher = refresher
        self._entropies: deque[float] = deque(maxlen=_WATCHED)

    def parameters(self) -> dict[str, nn.Parameter]:
        """As `Method.parameters`."""
        both = {"query": self.tower.trained(), "generator": self.generator.trained()}
        return {f"{part}.{name}": one for part, own in both.items() for name, one in own.items()}

    def step(self, batch: Sequence[Example], epoch: int, step: int, world: World) -> dict[str, float]:
        """As `Method.step`; one question's activations are held at a time."""
        if self._refresher is not None:
            self._searcher = self._refresher.at(step, self.tower, self._searcher, world)
        own = [example for example in batch[world.share(batch)] if example.answers]
        total, entropies, found = 0.0, [], 0
        frozen = step < self._settings.freeze_retriever_steps
        for example in own:
            loss, entropy, retrieved = self._question(example, frozen=frozen)
            (loss / len(batch)).backward()
            total += float(loss.detach())
            entropies.append(float(entropy))
            found += _holds(example, retrieved)
        self._entropies.extend(entropies)
        count = len(own)
        values = {
            "loss": world.mean(total / max(1, count), count),
            "prior_entropy": world.mean(sum(entropies) / max(1, count), count),
            f"recall@{self._settings.passages}": world.mean(found / max(1, count), count),
        }
        if self._collapsed():
            values["collapsed"] = 1.0
        return values

    def _collapsed(self) -> bool:
        whole = len(self._entropies) == _WATCHED and self._settings.passages > 1
        mean = sum(self._entropies) / max(1, len(self._entropies))
        return whole and mean < _COLLAPSED * math.log(self._settings.passages)

    def _question(self, example: Example, *, frozen: bool) -> tuple[Tensor, Tensor, Retrieved]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            query = self.tower([""], [example.query], "query")[0]
        retrieved = self._retrieve(example.query, query.detach())
        scores = retrieved.vectors @ query
        answer = self.generator.answer_ids(example.answers[0], self._settings.answer_tokens)
        prompts = [
            make_prompt(example.query, [passage], self.generator.count, self._settings.passage_tokens)
            for passage in retrieved.passages
        ]
        tokens = self.generator(prompts, answer)
        loss = marginal_loss(scores, tokens, self._settings.likelihood, self._settings.prior_scale)
        return loss, prior_entropy(scores.detach(), self._settings.prior_scale), retrieved

    def _retrieve(self, question: str, vector: Tensor) -> Retrieved:
        ranked = self._searcher.rank(
            [question],
            self._settings.passages,
            mode="dense",
            rerank="none",
            vectors=vector[None].cpu().numpy(),
        )
        ids = ranked.ids[0][ranked.ids[0] >= 0]
        passages = self._searcher.passages(ids)
        vectors = torch.from_numpy(stored_vectors(self._searcher, ids)).float().to(vector.device)
        return Retrieved([passages[number] for number in ids.tolist()], vectors)

    @torch.no_grad()
    def measure(self, world: World) -> dict[str, float]:
        """As `Method.measure`."""
        own = [example for example in self._dev[world.share(self._dev)] if example.answers]
        losses, entropies, found = 0.0, 0.0, 0
        for example in own:
            loss, entropy, retrieved = self._question(example, frozen=True)
            losses, entropies = losses + float(loss), entropies + float(entropy)
            found += _holds(example, retrieved)
        count = len(own)
        return {
            "log_likelihood": -world.mean(losses / max(1, count), count),
            "prior_entropy": world.mean(entropies / max(1, count), count),
            f"recall@{self._settings.passages}": world.mean(found / max(1, count), count),
        }

    def export(self, folder: Path) -> dict[str, str]:
        """Write query encoder and generator; their keys and folders.

        A new version of the index that is being built is committed first: the worker that exports builds it.
        """
        if self._refresher is not None:
            self._refresher.finish()
        self.tower.save(folder / "query")
        self.generator.save(folder / "generator")
        return {"query_name": "query", "generator": "generator"}


def _holds(example: Example, retrieved: Retrieved) -> bool:
    answers = sequences_of(example.answers)
    return any(holds_any(passage.text, answers) for passage in retrieved.passages)


def open_rag(config: TrainConfig, dev: Sequence[Example], *, tower: Tower) -> EndToEnd:
    """The method of a configuration, over the index's version. Raises CorpusmillError."""
    place = config.index
    searcher = Searcher.open(place.path, options=place.storage_options, version=place.version)
    if not any(example.answers for example in dev):
        raise TrainingFailed(
            "no dev example has an answer, so there is nothing to generate",
            hint="Name questions with answers: examples.questions, or a BEIR folder whose queries have them.",
        )
    generator = TrainedGenerator(config.rag.generator, lora_rank=config.rag.lora_rank, device=tower.device)
    refresher = Refresher(config) if config.rag.refresh is not None else None
    return EndToEnd(tower, generator, searcher, dev, config.rag, refresher)
