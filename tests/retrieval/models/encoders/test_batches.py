"""Tokens, titles, truncation, and batches that are fixed by the input and split when memory ends."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer as Backend

from retrieval.errors import ConfigError, ModelError
from retrieval.models.batches import length_sorted_batches
from retrieval.models.encoders.encoder import Encoder
from retrieval.models.encoders.tokenizer import Tokenizer, Tokens
from retrieval.settings import ModelSettings
from tests.conftest import SMALL_MODEL
from tests.tools.samples.encoder_models import TEXTS, TITLES, model_folder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.open(ModelSettings(name=SMALL_MODEL))


def test_batches_cover_every_row_once_under_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(2, 300, 500)
    batches = list(length_sorted_batches(lengths, 1000))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(len(rows) * lengths[rows].max() <= 1000 for rows in batches)
    order = np.concatenate(batches)
    assert np.array_equal(order, np.lexsort((np.arange(500), -lengths)))
    assert [len(b) for b in length_sorted_batches(np.array([50, 2000, 50]), 100)] == [1, 2]


def test_tokenizing_needs_no_torch() -> None:
    code = (
        "import sys; from retrieval.models.encoders import Tokenizer\n"
        "from retrieval.models import model_card\n"
        "from retrieval.settings import ModelSettings\n"
        "model_card(ModelSettings()); Tokenizer.open(ModelSettings()).tokenize_passages(['a'], ['b'])\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_title_stands_before_the_text_and_is_capped(tokenizer: Tokenizer) -> None:
    backend = Backend.from_file(str(tokenizer.tokenizer_file))
    backend.no_padding()
    backend.no_truncation()
    tokens = tokenizer.tokenize_passages(["River", None, "word " * 300], ["flows", "flows", "flows"])
    rows = [tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() for i in range(3)]
    assert rows[0] == backend.encode("River flows").ids
    assert rows[1] == backend.encode("flows").ids
    assert len(rows[2]) == (256 - 2) // 2 + 1 + 2  # half of what the special tokens leave
    assert rows[2][-2] == backend.encode("flows").ids[1]
    assert not tokens.truncated.any()


def test_truncated_rows_are_counted_exactly(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokenize_passages([""] * 3, ["word " * 254, "word " * 255, ""])
    assert tokens.truncated.tolist() == [False, True, False]
    assert tokens.lengths.tolist() == [256, 256, 2]


def test_tokens_survive_arrow(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokenize_passages(TITLES, TEXTS)
    table = tokens.to_table()
    sliced = pa.concat_tables([table.slice(3, 4), table.slice(7, 5)])
    back = Tokens.from_table(sliced)
    assert np.array_equal(back.lengths, tokens.lengths[3:12])
    assert np.array_equal(back.ids, tokens.ids[tokens.offsets[3] : tokens.offsets[12]])
    assert len(Tokens.from_table(table.slice(0, 0))) == 0


def test_max_tokens_narrows_and_widens_the_window() -> None:
    assert Tokenizer.open(ModelSettings(max_tokens=32)).tokenize_queries(["word " * 99]).lengths.tolist() == [
        32
    ]
    assert Tokenizer.open(ModelSettings(max_tokens=512)).max_tokens == 512
    with pytest.raises(ConfigError, match="512 positions"):
        Tokenizer.open(ModelSettings(max_tokens=513))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "m", kind="electra")


@contextmanager
def _limited(folder: Path, most: int, error: Exception) -> Iterator[tuple[Encoder, list[int]]]:
    """An encoder whose forward pass really raises for batches of more than `most` padded tokens."""
    encoder = Encoder.open(ModelSettings(name=str(folder), dtype="float32"))
    side = encoder._sides["passage"]
    seen: list[int] = []

    def hook(module: torch.nn.Module, args: tuple) -> None:
        seen.append(args[0]["input_ids"].numel() if side.packed is None else len(args[0]))
        if seen[-1] > most:
            raise error

    limited = side.transformer if side.packed is None else side.packed.norm
    handle = limited.register_forward_pre_hook(hook)
    try:
        yield encoder, seen
    finally:
        handle.remove()  # all encoders of a model share its modules


CPU_ALLOCATOR = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), CPU_ALLOCATOR])
@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_a_batch_without_memory_is_split_until_it_fits(tmp_path: Path, kind: str, error: Exception) -> None:
    folder = model_folder(tmp_path / "m", kind=kind)
    whole = Encoder.open(ModelSettings(name=str(folder), dtype="float32")).encode_passages(TITLES, TEXTS)
    with _limited(folder, 200, error) as (encoder, seen):
        assert (encoder._sides["passage"].packed is not None) == (kind == "bert")
        np.testing.assert_allclose(encoder.encode_passages(TITLES, TEXTS), whole, atol=1e-6)
    assert max(seen) > 200
    assert len([tokens for tokens in seen if tokens <= 200]) >= 4


def test_a_single_row_without_memory_and_other_errors_are_not_hidden(small: Path) -> None:
    memory = torch.OutOfMemoryError("CUDA out of memory.")
    with _limited(small, 0, memory) as (encoder, _), pytest.raises(ModelError, match="single passage"):
        encoder.encode_passages(TITLES, TEXTS)
    with _limited(small, 5, RuntimeError("shapes do not match")) as (encoder, seen):
        with pytest.raises(RuntimeError, match="shapes"):
            encoder.encode_passages(TITLES, TEXTS)
        assert len(seen) == 1


def test_vectors_keep_the_input_order_and_repeat_bit_for_bit(small: Path) -> None:
    encoder = Encoder.open(ModelSettings(name=str(small), dtype="float32", batch_tokens=128))
    vectors = encoder.encode_passages(TITLES, TEXTS)
    assert np.array_equal(vectors, encoder.encode_passages(TITLES, TEXTS))
    for row in (0, 7, 23):
        alone = encoder.encode_passages([TITLES[row]], [TEXTS[row]])
        np.testing.assert_allclose(alone[0], vectors[row], atol=1e-5)
    assert encoder.encode_passages([], []).shape == (0, 32)


def test_a_side_that_was_not_opened_is_an_error(small: Path) -> None:
    encoder = Encoder.open(ModelSettings(name=str(small)), sides={"query"})
    with pytest.raises(ModelError, match="passage"):
        encoder.encode_passages([""], ["a"])


def test_a_tokenizer_file_that_disagrees_with_the_model_is_refused(small: Path) -> None:
    file = small / "tokenizer.json"
    original = file.read_text()
    backend = Backend.from_str(original)
    backend.normalizer = None
    backend.save(str(file))
    try:
        with pytest.raises(ModelError, match="other tokens"):
            Encoder.open(ModelSettings(name=str(small)))
    finally:
        file.write_text(original)
