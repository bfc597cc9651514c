"""Token codes as a stage of the build: what is stored, what is made again, and what moves with the index."""

import shutil

import numpy as np
import pytest

from pipelines.upkeep.verification import verify
from retrieval.format.manifest import Manifest, read_manifest
from retrieval.models.late_interaction.opening import open_token_encoder
from retrieval.models.late_interaction.resolve_model import settings_of_index
from retrieval.models.late_interaction.token_encoder import TokenEncoder
from retrieval.settings import ModelSettings
from retrieval.storage.store import Store
from retrieval.token_codes.codec import TokenCodec
from retrieval.token_codes.shard_codes import ShardTokens
from tests.conftest import make_documents, write_jsonl
from tests.tools.build_tools import passages, snapshot
from tests.tools.samples.encoder_models import model_folder
from tests.tools.samples.late_models import native

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(build, tmp_path_factory):
    """A corpus, its index with stored tokens in several parts, and the configuration of that."""
    folder = tmp_path_factory.mktemp("late")
    write_jsonl(folder / "corpus" / "1.jsonl", make_documents(40))
    config = {
        "model": {"name": str(model_folder(folder / "bare")), "dtype": "float32"},
        "index": {"part_passages": 60},
        "dense": {"type": "flat"},
        "late_interaction": {"store": True, "nlist": 16, "train_tokens": 2000},
    }
    manifest = build(folder / "corpus", folder / "index", **config).manifest
    return folder, manifest, config


@pytest.fixture
def copy(made, tmp_path):
    """The same, free to be changed."""
    folder, manifest, config = made
    shutil.copytree(folder / "index", tmp_path / "index")
    shutil.copytree(folder / "corpus", tmp_path / "corpus", copy_function=shutil.copy2)
    return tmp_path / "corpus", tmp_path / "index", manifest, copy_of(config)


def copy_of(config: dict) -> dict:
    return {name: dict(section) for name, section in config.items()}


def opened(index, manifest: Manifest) -> tuple[TokenEncoder, ShardTokens, TokenCodec]:
    """The encoder of the index's settings, and all of its stored tokens as one shard."""
    store = Store(str(index))
    codec = TokenCodec.open(store.local_folder(manifest.token_codec, index))
    folders = [store.local_folder(part.tokens, index) for part in manifest.parts]
    tokens = ShardTokens(folders, [part.rows for part in manifest.parts], codec)
    embedding = ModelSettings.model_validate(manifest.model["settings"])
    encoder = open_token_encoder(settings_of_index(manifest, store, index), embedding, threads=1)
    return encoder, tokens, codec


def token_files(index) -> dict:
    return {name: value for name, value in snapshot(index).items() if name.startswith("tokens/")}


def test_stored_codes_are_those_of_the_passages(made):
    folder, manifest, _ = made
    assert len(manifest.parts) > 1
    assert {cost.stage for cost in manifest.costs if cost.rows} >= {"codec", "tokens"}
    encoder, tokens, codec = opened(folder / "index", manifest)
    frame = passages(folder / "index")
    assert len(tokens) == len(frame) == manifest.passages
    found = encoder.encode_passages(frame.title.tolist(), frame.text.tolist())
    for row in range(len(frame)):
        assert len(tokens.codes(row)) == len(found[row])
        # Sums in another order may choose another of two codewords that are equally near.
        assert (tokens.codes(row) == codec.encode(found[row])).mean() > 0.99
    query = found[7]
    assert int(np.argmax(tokens.scores(query, range(len(frame))))) == 7


def test_only_a_lost_part_is_made_again(build, copy):
    corpus, index, manifest, config = copy
    before = token_files(index)
    assert not build(corpus, index, **config).changed
    assert token_files(index) == before
    (index / manifest.parts[0].tokens[0].key).unlink()
    build(corpus, index, **config)
    after = token_files(index)
    kept = {name for name, value in after.items() if before.get(name) == value}
    assert {file.key for part in manifest.parts[1:] for file in part.tokens} <= kept
    now = read_manifest(Store(str(index)))
    assert not {file.key for file in now.parts[0].tokens} & kept
    assert verify(Store(str(index)), now, lambda *_: None) == []


def test_new_documents_leave_the_codec_and_old_codes_alone(build, copy):
    corpus, index, old, config = copy
    before = token_files(index)
    write_jsonl(corpus / "2.jsonl", make_documents(10, first=40))
    new = build(corpus, index, **config).manifest
    assert new.token_codec == old.token_codec
    assert len(new.parts) > len(old.parts)
    assert [part.tokens for part in new.parts[: len(old.parts)]] == [part.tokens for part in old.parts]
    after = token_files(index)
    assert {name: after[name] for name in before} == before


def test_a_version_without_stored_tokens_names_none(build, copy):
    corpus, index, _, config = copy
    del config["late_interaction"]
    manifest = build(corpus, index, **config).manifest
    assert not manifest.token_codec
    assert not any(part.tokens for part in manifest.parts)
    assert manifest.late_interaction["model"]["kind"] == "encoder"


def test_another_model_makes_codes_and_nothing_else_and_moves_with_the_index(build, copy, tmp_path):
    corpus, index, old, config = copy
    checkpoint = native(tmp_path / "colbert")
    config["late_interaction"]["model"] = {"name": str(checkpoint.folder), "dtype": "float32"}
    new = build(corpus, index, **config).manifest
    assert not set(new.token_codec) & set(old.token_codec)
    assert [part.vectors for part in new.parts] == [part.vectors for part in old.parts]
    assert [shard.dense for shard in new.shards] == [shard.dense for shard in old.shards]
    shutil.rmtree(checkpoint.folder)
    moved = tmp_path / "moved"
    shutil.move(index, moved)
    encoder, tokens, _ = opened(moved, new)
    assert encoder.card["kind"] == "checkpoint"
    frame = passages(moved)
    query = encoder.encode_passages([frame.title[3]], [frame.text[3]])[0]
    assert int(np.argmax(tokens.scores(query, range(len(frame))))) == 3


def test_verify_sees_a_flipped_bit_in_codes(copy):
    _, index, manifest, _ = copy
    path = index / manifest.parts[0].tokens[0].key
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    problems = verify(Store(str(index)), manifest, lambda *_: None)
    assert [problem.split(":")[0] for problem in problems] == [manifest.parts[0].tokens[0].key]
