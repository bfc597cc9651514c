"""MaxSim, the codec of token vectors, and codes on disk."""

import json

import numpy as np
import pytest

from retrieval.errors import ConfigError, IndexDamaged
from retrieval.models.late_interaction import token_vectors as ragged
from retrieval.models.late_interaction.token_vectors import TokenVectors, best_pairs, maxsim, ragged_offsets
from retrieval.token_codes.codec import CENTROIDS, CODEBOOKS, HEADER, TokenCodec, code_groups
from retrieval.token_codes.shard_codes import CODES, OFFSETS, ShardTokens, write_tokens

RNG = np.random.default_rng(3)
COUNTS = [1, 30, 7, 0, 64, 5, 12, 33]


def unit(count: int, dimension: int) -> np.ndarray:
    centres = np.random.default_rng(dimension).standard_normal((6, dimension))
    vectors = RNG.standard_normal((count, dimension)) / 2 + centres[np.arange(count) % 6]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_definition(query: np.ndarray, passages: TokenVectors) -> list[float]:
    """sum_i max_j (q_i . p_j), word for word."""
    return [
        float(sum(max(float(q @ p) for p in passages[row]) for q in query)) if len(passages[row]) else 0.0
        for row in range(len(passages))
    ]


@pytest.fixture(scope="module")
def codec() -> TokenCodec:
    return TokenCodec.train(unit(3000, 32), nlist=20)


@pytest.fixture
def passages() -> TokenVectors:
    return TokenVectors(unit(sum(COUNTS), 32), ragged_offsets(COUNTS))


@pytest.fixture
def shard(tmp_path, codec, passages):
    """The passages in three parts, one of them empty, and their folders."""
    folders, counts = [], []
    for number, (first, end) in enumerate([(0, 3), (3, 3), (3, 8)]):
        part = passages.take(range(first, end))
        folders.append(tmp_path / f"part{number}")
        folders[-1].mkdir()
        write_tokens(folders[-1], codec.encode(part.vectors), part.offsets)
        counts.append(end - first)
    return folders, counts


@pytest.mark.parametrize("block", [1, 40, 8_192])
def test_maxsim_is_the_sum_of_the_best_products(passages, block, monkeypatch):
    monkeypatch.setattr(ragged, "BLOCK_TOKENS", block)
    query = unit(5, 32)
    np.testing.assert_allclose(maxsim(query, passages), by_definition(query, passages), atol=1e-5)


def test_pairs_name_the_token_that_each_query_token_matched(passages):
    query = passages[4][[60, 3, 17]]
    numbers, scores = best_pairs(query, passages.take([4]))
    assert numbers.tolist() == [60, 3, 17]
    np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_the_codec_takes_the_nearest_centroid_and_codewords(codec):
    vectors = unit(200, 32)
    codes = codec.encode(vectors)
    centroids, codebooks = codec.centroids.numpy(), codec.codebooks.numpy()
    coarse = ((vectors[:, None] - centroids) ** 2).sum(2).argmin(1)
    residual = (vectors - centroids[coarse]).reshape(200, codec.groups, 1, -1)
    words = ((residual - codebooks) ** 2).sum(3).argmin(2)
    assert (codes[:, :2].copy().view("<u2")[:, 0] == coarse).all()
    assert (codes[:, 4:] == words).all()


def test_codes_are_closer_than_centroids(codec):
    vectors = unit(500, 32)
    codes = codec.encode(vectors)
    error = np.linalg.norm(codec.decode(codes) - vectors, axis=1).mean()
    coarse = np.linalg.norm(codec.centroids.numpy()[codes[:, 0]] - vectors, axis=1).mean()
    assert error < coarse / 2


def test_decoded_vectors_have_the_length_of_what_was_encoded(codec):
    lengths = np.linspace(0.5, 3, 200, dtype=np.float32)
    decoded = codec.decode(codec.encode(unit(200, 32) * lengths[:, None]))
    np.testing.assert_allclose(np.linalg.norm(decoded, axis=1), lengths, rtol=1e-3)
    assert not codec.decode(codec.encode(np.zeros((1, 32), np.float32))).any()


@pytest.mark.parametrize(("dimension", "most"), [(128, 40), (384, 52)])
def test_a_token_takes_no_more_bytes_than_it_may(dimension, most):
    codec = TokenCodec.train(unit(600, dimension), nlist=16)
    codes = codec.encode(unit(10, dimension))
    assert codes.nbytes / 10 == codec.code_bytes <= most


def test_code_bytes_must_divide_the_dimension():
    assert code_groups(96) == 24
    assert code_groups(384, 32) == 32
    with pytest.raises(ConfigError, match="does not divide 384") as error:
        code_groups(384, 50)
    assert error.value.hint == "Set it to 48."


def test_few_tokens_train_a_small_codec():
    vectors = unit(50, 16)
    codec = TokenCodec.train(vectors, nlist=1024)
    assert codec.nlist == 1
    # There is a codeword for each of them, so nothing is lost.
    np.testing.assert_allclose(codec.decode(codec.encode(vectors)), vectors, atol=1e-3)


def test_the_same_sample_and_seed_give_the_same_codec(tmp_path):
    sample = unit(2000, 16)
    ids = []
    for number, seed in enumerate((1, 1, 2)):
        codec = TokenCodec.train(sample, nlist=8, seed=seed)
        codec.write(tmp_path / str(number))
        ids.append(codec.id)
    assert ids[0] == ids[1] != ids[2]


def test_a_codec_read_back_is_the_same(tmp_path, codec):
    codec.write(tmp_path)
    again = TokenCodec.open(tmp_path)
    vectors = unit(100, 32)
    assert again.id == codec.id
    assert (again.encode(vectors) == codec.encode(vectors)).all()


def test_scores_from_codes_are_those_of_decoded_vectors(codec, passages, shard):
    tokens = ShardTokens(*shard, codec)
    decoded = TokenVectors(codec.decode(codec.encode(passages.vectors)), passages.offsets)
    query = unit(9, 32)
    rows = np.array([7, 0, 4, 4, 2, 3])
    np.testing.assert_allclose(tokens.scores(query, rows), maxsim(query, decoded.take(rows)), atol=1e-5)
    numbers, scores = tokens.pairs(query, 4)
    wanted = best_pairs(query, decoded.take([4]))
    assert numbers.tolist() == wanted[0].tolist()
    np.testing.assert_allclose(scores, wanted[1], atol=1e-6)


def test_scores_do_not_depend_on_blocks(codec, shard, monkeypatch):
    query = unit(9, 32)
    tokens = ShardTokens(*shard, codec)
    whole = tokens.scores(query, range(8))
    monkeypatch.setattr(ragged, "BLOCK_TOKENS", 20)
    assert (tokens.scores(query, range(8)) == whole).all()


@pytest.mark.parametrize("name", [CODES, OFFSETS])
def test_truncated_codes_are_refused_on_opening(codec, shard, name):
    folders, counts = shard
    path = folders[2] / name
    data = path.read_bytes()
    for length in {*range(0, len(data), max(1, len(data) // 25)), len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(IndexDamaged):
            ShardTokens(folders, counts, codec)
    path.unlink()
    with pytest.raises(IndexDamaged, match="missing"):
        ShardTokens(folders, counts, codec)


def test_damaged_offsets_and_codes_are_errors_when_used(codec, shard):
    folders, counts = shard
    offsets = np.load(folders[2] / OFFSETS)
    offsets[2] = 10**12
    np.save(folders[2] / OFFSETS, offsets)
    tokens = ShardTokens(folders, counts, codec)
    with pytest.raises(IndexDamaged, match="row 4"):
        tokens.scores(unit(2, 32), [4])
    codes = np.load(folders[0] / CODES)
    for place, problem in ((1, "centroid"), (3, "scale")):
        damaged = codes.copy()
        damaged[5, place - 1 : place + 1] = 255
        np.save(folders[0] / CODES, damaged)
        with pytest.raises(IndexDamaged, match=problem):
            ShardTokens(folders, counts, codec).scores(unit(2, 32), [0, 1, 2])


@pytest.mark.parametrize("name", [HEADER, CENTROIDS, CODEBOOKS])
def test_a_damaged_codec_is_refused(tmp_path, codec, name):
    codec.write(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(IndexDamaged):
        TokenCodec.open(tmp_path)
    (tmp_path / name).write_bytes(data[:-1])
    with pytest.raises(IndexDamaged):
        TokenCodec.open(tmp_path)


def test_a_codec_of_another_size_is_refused(shard):
    folders, counts = shard
    other = TokenCodec.train(unit(500, 32), nlist=4, code_bytes=4)
    with pytest.raises(IndexDamaged, match="expected"):
        ShardTokens(folders, counts, other)


def test_the_description_is_json(codec):
    assert json.loads(json.dumps(codec.describe()))["bytes_per_token"] == codec.code_bytes
