"""Small random ColBERT checkpoints in the three layouts, and what their authors' code computes from them."""

import json
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import nn
from transformers import AutoTokenizer, BertModel

from tests.tools.samples.encoder_models import transformer_folder

DIMENSION = 16
QUERY_LENGTH = 16
DOCUMENT_LENGTH = 40


@dataclass(frozen=True)
class Checkpoint:
    """A saved checkpoint with what it was made from. `markers`: tokens, or prompts, of its two sides."""

    folder: Path
    bert: BertModel
    projection: torch.Tensor
    markers: tuple[str, str]

    def query(self, text: str) -> np.ndarray:
        """Query vectors as ColBERT defines them: marker after [CLS], unattended [MASK] to the full length."""
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        ids = self._ids(tokenizer, text, self.markers[0], QUERY_LENGTH)
        mask = [1] * len(ids) + [0] * (QUERY_LENGTH - len(ids))
        ids += [tokenizer.mask_token_id] * (QUERY_LENGTH - len(ids))
        return self._vectors(ids, mask)

    def passage(self, text: str) -> np.ndarray:
        """Passage vectors: marker after [CLS], punctuation left out."""
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        ids = self._ids(tokenizer, text, self.markers[1], DOCUMENT_LENGTH)
        skipped = set(tokenizer.convert_tokens_to_ids(list(string.punctuation)))
        vectors = self._vectors(ids, [1] * len(ids))
        return vectors[[number not in skipped for number in ids]]

    def _ids(self, tokenizer, text: str, marker: str, length: int) -> list[int]:
        words = tokenizer(text, add_special_tokens=False)["input_ids"]
        front = tokenizer.convert_tokens_to_ids([marker])
        if front == [tokenizer.unk_token_id]:  # a prompt, which is plain text
            front = tokenizer(marker, add_special_tokens=False)["input_ids"]
        return [tokenizer.cls_token_id, *[*front, *words][: length - 2], tokenizer.sep_token_id]

    def _vectors(self, ids: list[int], mask: list[int]) -> np.ndarray:
        with torch.inference_mode():
            hidden = self.bert(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state[0]
            return nn.functional.normalize(hidden @ self.projection.T, dim=1).numpy()


def native(folder: Path, skiplist: bool = True) -> Checkpoint:
    """As sentence-transformers' MultiVectorEncoder saves it."""
    plain, bert, projection = _parts(folder)
    expansion = {"strategy": "fixed", "attend": False, "length": QUERY_LENGTH}
    transformer = Transformer(str(plain), document_length=DOCUMENT_LENGTH, query_expansion=expansion)
    dense = Dense(
        32, DIMENSION, bias=False, activation_function=nn.Identity(), init_weight=projection.clone(),
        module_input_name="token_embeddings",
    )  # fmt: skip
    mask = MultiVectorMask(skiplist_words=list(string.punctuation) if skiplist else None)
    MultiVectorEncoder(
        modules=[transformer, dense, mask, Normalize(module_input_name="token_embeddings")],
        prompts={"query": "[Q] ", "document": "[D] "}, device="cpu",
    ).save(str(folder))  # fmt: skip
    return Checkpoint(folder, bert, projection, ("[Q] ", "[D] "))


def stanford(folder: Path) -> Checkpoint:
    """As Stanford's ColBERT saves it: the projection beside the backbone, settings in artifact.metadata."""
    plain, bert, projection = _parts(folder)
    plain.rename(folder)
    weights = {f"bert.{name}": value.contiguous() for name, value in bert.state_dict().items()}
    save_file({**weights, "linear.weight": projection}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    metadata = {
        "query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": QUERY_LENGTH,
        "doc_maxlen": DOCUMENT_LENGTH, "mask_punctuation": True, "attend_to_mask_tokens": False,
    }  # fmt: skip
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
    return Checkpoint(folder, bert, projection, ("[unused0]", "[unused1]"))


def pylate(folder: Path) -> Checkpoint:
    """As PyLate saves it: a projection of its own class, settings in config_sentence_transformers.json."""
    plain, bert, projection = _parts(folder)
    plain.rename(folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {
        "model_type": "ColBERT", "query_prefix": "[unused0]", "document_prefix": "[unused1]",
        "query_length": QUERY_LENGTH, "document_length": DOCUMENT_LENGTH, "do_query_expansion": True,
        "attend_to_expansion_tokens": False, "skiplist_words": list(string.punctuation),
    }  # fmt: skip
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    (folder / "1_Dense").mkdir()
    dense = {
        "in_features": 32, "out_features": DIMENSION, "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }  # fmt: skip
    (folder / "1_Dense" / "config.json").write_text(json.dumps(dense))
    save_file({"linear.weight": projection}, folder / "1_Dense" / "model.safetensors", {"format": "pt"})
    return Checkpoint(folder, bert, projection, ("[unused0]", "[unused1]"))


LAYOUTS = {"native": native, "stanford": stanford, "pylate": pylate}


def _parts(folder: Path) -> tuple[Path, BertModel, torch.Tensor]:
    plain = transformer_folder(folder.with_name(f"{folder.name}-plain"))
    torch.manual_seed(7)
    return plain, BertModel.from_pretrained(plain).eval(), torch.randn(DIMENSION, 32)
