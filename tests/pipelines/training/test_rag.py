"""End to end: the loss is that of transformers where it is right, both sides learn, models load."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.training.losses import marginal_loss
from pipelines.training.methods.rag import EndToEnd
from pipelines.training.models import TrainedGenerator
from pipelines.training.running import World
from pipelines.training.settings import RagSettings
from retrieval.generation import Prompt
from retrieval.generation.generators import model_folder as generator_folder
from retrieval.search import Searcher
from tests.conftest import write_jsonl
from tests.pipelines.training.trained import examples, generator, tower
from tests.tools.samples.encoder_models import model_folder


@pytest.fixture(scope="module", params=["causal", "two-sided"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generator(tmp_path_factory.mktemp("generator") / "g", request.param)


def byte_tokenizer() -> Any:
    """Of bytes alone, as GPT-2 writes them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="!")


def prompt(text: str) -> Prompt:
    return Prompt(text, (), 1, False, 0)


def test_log_probabilities_are_those_of_the_model_alone(written: Path) -> None:
    """Of prompts of different lengths in one batch: padding changes nothing."""
    made = TrainedGenerator(str(written), lora_rank=None)
    answer = made.answer_ids("in the year 1500", 16)
    prompts = [
        prompt("rivers were seen"),
        prompt("of violins and of much else, a longer prompt it is"),
        prompt("x"),
    ]
    together = made(prompts, answer)
    assert together.shape == (3, len(answer))
    for row, one in enumerate(prompts):
        torch.testing.assert_close(made([one], answer)[0], together[row], atol=1e-4, rtol=1e-4)
    if not made.two_sided:
        ids = [*made.tokenizer(prompts[0].text, split_special_tokens=True)["input_ids"], *answer]
        logits = made.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len(ids) - len(answer)
        wanted = torch.stack([logits[start - 1 + place, token] for place, token in enumerate(answer)])
        torch.testing.assert_close(together[0], wanted, atol=1e-4, rtol=1e-4)


def test_what_prompts_begin_with_is_read_once_and_gradients_are_the_same(written: Path) -> None:
    made = TrainedGenerator(str(written), lora_rank=4)
    with torch.no_grad():
        for number, one in enumerate(made.trained().values()):
            one.add_(0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(number)))
    answer = made.answer_ids("in the year 1500", 16)
    begin = (
        "answer from the passages alone, as these examples do: the lake is deep, the violin has four strings."
    )
    prompts = [prompt(f"{begin} {text}") for text in ("rivers were seen", "bees, and much else of them", "x")]
    passes: list[torch.Size] = []
    made.model.get_input_embeddings().register_forward_hook(
        lambda _module, inputs, _output: passes.append(inputs[0].shape)
    )

    def gradients(found: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        made.zero_grad()
        torch.stack([one.sum(-1) for one in found]).logsumexp(0).backward()
        return {name: one.grad.clone() for name, one in made.trained().items() if one.grad is not None}

    together = made(prompts, answer)
    if not made.two_sided:
        assert [shape[0] for shape in passes] == [1, 3] and passes[0][1] > 16
    alone = [made([one], answer)[0] for one in prompts]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=1e-4)
    wanted, found = gradients(alone), gradients(list(together))
    assert wanted and wanted.keys() == found.keys()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3)


def test_an_answer_of_a_base_model_ends_with_its_line(tmp_path: Path) -> None:
    """As decoding ends it; what a tokenizer of bytes makes of a line is one token."""
    made = TrainedGenerator(str(generator(tmp_path / "g", "causal")), lora_rank=None)
    ids = made.answer_ids("in the year 1500", 16)
    assert ids[-1] == made.tokenizer.eos_token_id  # WordPiece knows no lines
    made.tokenizer = byte_tokenizer()
    text, end = "in the year 1500 [1].", made.tokenizer.convert_tokens_to_ids("\u010a")
    assert made.answer_ids("in the year 1500", 64)[-1] == end
    assert made.tokenizer.decode(made.answer_ids("in the year 1500", 64)) == f" {text}\n"
    assert made.answer_ids("in the year 1500", 5)[-1] == end and len(made.answer_ids(text, 5)) == 5


def test_by_token_it_is_what_transformers_marginalises() -> None:
    """`RagTokenForGeneration.marginalize` over the same logits and document scores."""
    from transformers import RagTokenForGeneration

    logits, scores = torch.randn(4, 5, 30), torch.randn(1, 4)
    target = torch.randint(0, 30, (5,))
    theirs = RagTokenForGeneration.marginalize(
        type("Own", (), {"config": type("C", (), {"n_docs": 4})})(), logits, scores, n_docs=4
    )
    wanted = -sum(theirs[0, place, token] for place, token in enumerate(target))
    tokens = logits.log_softmax(-1).gather(2, target.expand(4, -1)[..., None]).squeeze(2)
    torch.testing.assert_close(marginal_loss(scores[0], tokens, "token"), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rank", [None, 4])
def test_what_is_saved_is_what_was_trained_and_no_adapter(
    written: Path, rank: int | None, tmp_path: Path
) -> None:
    made = TrainedGenerator(str(written), lora_rank=rank)
    with torch.no_grad():
        for number, one in enumerate(made.trained().values()):
            one.add_(0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(number)))
    assert bool(rank) == all("lora" in name for name in made.trained())
    assert not any("lm_head" in name or "embed" in name for name in made.trained()) or rank is None
    answer, asked = made.answer_ids("place 7", 8), [prompt("where were rivers seen?")]
    wanted = made(asked, answer)
    made.save(tmp_path / "saved")
    torch.testing.assert_close(made(asked, answer), wanted, atol=1e-4, rtol=1e-4)  # it goes on as it was
    assert not list((tmp_path / "saved").glob("adapter*"))
    assert generator_folder(str(tmp_path / "saved")) == tmp_path / "saved"
    again = TrainedGenerator(str(tmp_path / "saved"), lora_rank=None)
    torch.testing.assert_close(again(asked, answer), wanted, atol=1e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def searcher(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("rag")
    model_folder(root / "m")
    corpus = write_jsonl(
        root / "c.jsonl",
        [
            {"_id": one.positive.doc_id, "title": one.positive.title, "text": one.positive.text}
            for one in examples(16)
        ],
    )
    build(corpus, root / "index", model={"name": str(root / "m"), "dtype": "float32"})
    with Searcher.open(str(root / "index")) as opened:
        yield opened, root / "m"


def method(searcher: Any, written: Path, **settings: Any) -> EndToEnd:
    opened, encoder = searcher
    values = {"passages": 3, "lora_rank": None, **settings}
    asked = [
        type(one)(**{**vars(one), "answers": (str(1500 + number),)}) for number, one in enumerate(examples(6))
    ]
    return EndToEnd(
        tower(encoder), TrainedGenerator(str(written), lora_rank=values["lora_rank"]), opened, asked,
        RagSettings(**values),
    )  # fmt: skip


@pytest.mark.parametrize("likelihood", ["sequence", "token"])
def test_both_sides_get_gradients_and_the_loss_falls(searcher: Any, written: Path, likelihood: str) -> None:
    made = method(searcher, written, likelihood=likelihood)
    batch = made._dev[:2]
    optimizer = torch.optim.Adam(made.parameters().values(), lr=3e-3)
    losses = []
    for step in range(6):
        optimizer.zero_grad()
        values = made.step(batch, 0, step, World())
        losses.append(values["loss"])
        assert 0 <= values["prior_entropy"] <= math.log(3) + 1e-4
        for side in ("query", "generator"):
            own = [one.grad for name, one in made.parameters().items() if name.startswith(side)]
            assert any(grad is not None and float(grad.abs().max()) > 0 for grad in own), side
        optimizer.step()
    assert losses[-1] < losses[0]


def test_the_retriever_may_be_frozen_at_first(searcher: Any, written: Path) -> None:
    made = method(searcher, written, freeze_retriever_steps=2)
    made.step(made._dev[:1], 0, 1, World())
    own = {name: one.grad for name, one in made.parameters().items()}
    assert all(grad is None for name, grad in own.items() if name.startswith("query"))
    made.step(made._dev[:1], 0, 2, World())
    assert any(one.grad is not None for name, one in made.parameters().items() if name.startswith("query"))


def test_collapse_is_told(searcher: Any, written: Path) -> None:
    made = method(searcher, written, prior_scale=100_000.0)
    values: dict[str, float] = {}
    for step in range(50):
        if step % 10 == 0:
            values = made.step(made._dev[:1], 0, step, World())
        else:
            made._entropies.append(0.0)
    assert values["prior_entropy"] < 0.05
    made._entropies.extend([0.0] * 50)
    assert made.step(made._dev[:1], 0, 50, World())["collapsed"] == 1.0
