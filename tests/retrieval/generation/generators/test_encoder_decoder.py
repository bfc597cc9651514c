"""A local encoder-decoder: what it writes is what the library generates, by every decoding."""

import asyncio
from typing import Any

import pytest
import torch

from retrieval.generation.generators import LocalGenerator, MarginalRequest
from retrieval.generation.prompt import Prompt
from tests.pipelines.training.trained import generator as generator_folder

PROMPTS = [Prompt(text, (), 1, False, 0) for text in ("rivers were seen in 1500", "violins", "x y z 1 2")]


@pytest.fixture(scope="module")
def two_sided(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = LocalGenerator.open(str(generator_folder(tmp_path_factory.mktemp("t5") / "g", "two-sided")))
    torch.manual_seed(5)
    with torch.no_grad():  # so that it writes more than its end
        for one in made._model.parameters():
            one.mul_(2).add_(0.5 * torch.randn(one.shape, dtype=one.dtype))
    yield made
    made.close()


def written(made: LocalGenerator, prompt: Prompt, most: int = 12) -> str:
    async def run() -> str:
        stream = made.stream(prompt, max_tokens=most, temperature=0, stop=())
        return "".join([delta async for delta in stream])

    return asyncio.run(run())


def generated(made: LocalGenerator, prompt: Prompt, most: int = 12) -> list[int]:
    ids = torch.tensor([made._encode(prompt, most)])
    with torch.inference_mode():
        found = made._model.generate(ids, max_new_tokens=most, do_sample=False)[0]
    return [int(token) for token in found[1:]]


def test_it_writes_what_the_library_generates(two_sided: LocalGenerator) -> None:
    texts = set()
    for prompt in PROMPTS:
        tokens = generated(two_sided, prompt)
        wanted = two_sided._tokenizer.decode(tokens, skip_special_tokens=True).split("\n")[0]
        texts.add(written(two_sided, prompt))
        assert written(two_sided, prompt) == wanted
    assert any(texts)


@pytest.mark.parametrize("decode", ["token", "sequence", "sequence-fast"])
def test_passages_answer_together(two_sided: LocalGenerator, decode: str) -> None:
    async def run(prompts: list[Prompt], prior: tuple[float, ...], beams: int) -> Any:
        request = MarginalRequest(decode, prior, beams, 8, 0.0, ())
        return [event async for event in two_sided.marginal(prompts, request)][-1]

    alone = asyncio.run(run(PROMPTS[:1], (0.0,), 1))
    if decode == "token":
        assert alone.text == written(two_sided, PROMPTS[0], 8)
    found = asyncio.run(run(PROMPTS, (-1.0, -1.2, -1.1), 2))
    assert len(found.weights) == 3 and sum(found.weights) == pytest.approx(1, abs=1e-4)


def test_a_draft_goes_on_behind_what_the_decoder_wrote(two_sided: LocalGenerator) -> None:
    prompt = PROMPTS[0]
    tokens = generated(two_sided, prompt)
    before = two_sided._tokenizer.decode(tokens[:3])
    again = two_sided._tokenizer(before, add_special_tokens=False)["input_ids"]
    ids = two_sided._encode(prompt, 4)
    with torch.inference_mode():
        start = [two_sided._model.config.decoder_start_token_id, *again]
        logits = two_sided._model(torch.tensor([ids]), decoder_input_ids=torch.tensor([start])).logits[0, -1]
    pieces = two_sided._pieces(ids, 4, 0.0, again)
    first = next(pieces, ("", 0.0))
    if int(logits.argmax()) not in two_sided._ends:
        assert first[1] == pytest.approx(float(logits.float().softmax(0).max()), abs=1e-3)
