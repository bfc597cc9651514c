"""Any bytes in a model's own files end in ModelError, or in a tokenizer that answers."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

from retrieval.errors import CorpusmillError
from retrieval.models.encoders.tokenizer import Tokenizer
from retrieval.models.resolved_model import resolve_model
from retrieval.settings import ModelSettings
from tests.tools.hostile.hostile_tools import attack, mutations
from tests.tools.samples.encoder_models import transformer_folder


@pytest.mark.parametrize("examples", [60, pytest.param(2000, marks=pytest.mark.faults)])
def test_any_bytes_in_what_a_tokenizer_is_read_from(tmp_path: Path, examples: int) -> None:
    folder = tmp_path / "model"
    transformer_folder(folder)
    names = [path.name for path in sorted(folder.glob("*.json"))]
    whole = {name: (folder / name).read_bytes() for name in names}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= set(names)
    told = set()

    def check(change: tuple[str, bytes]) -> None:
        name, data = change
        (folder / name).write_bytes(data)
        try:
            settings = ModelSettings(name=str(folder))
            resolve_model(settings.name)
            Tokenizer.open(settings, "query").tokenize_queries(["a word"])
            told.add("answered")
        except CorpusmillError:
            told.add("refused")
        finally:
            (folder / name).write_bytes(whole[name])

    drawn = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), mutations(name, whole[name]))
    )
    attack(examples, drawn, check)
    assert told == {"answered", "refused"}
