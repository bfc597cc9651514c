"""What is wrong with the files of a model: they come from anybody, and libraries raise anything over them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import CorpusmillError, ModelError

MOST_HEADER = 100_000_000  # of a safetensors file, as the library itself has it
# What a configuration may say no more of than its weights have: whatever has no weights is made at random.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers")
_WIDTHS = (
    "hidden_size", "intermediate_size", "vocab_size", "type_vocab_size", "d_model", "d_ff", "n_embd", "dim",
    "hidden_dim", "embedding_size",
)  # fmt: skip


@contextmanager
def reading_model() -> Iterator[None]:
    """Turn whatever libraries raise into ModelError; a decorator too. Ours pass."""
    try:
        yield
    except CorpusmillError:
        raise
    except BaseException as error:  # JSON of any types, tokenizers that raise Exception itself, torch's own
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # Rust's
            raise
        reason = ascii(f"{type(error).__name__}: {error}"[:300])[1:-1]
        raise ModelError(f"the model cannot be used: {reason}", hint="Copy or download it again.") from error


def check_weights(folder: Path) -> None:
    """Raise ModelError where config.json tells of more than the safetensors beside it hold.

    A library would make room for it, and that may be any memory.
    """
    with reading_model():
        shapes = [shape for path in folder.glob("*.safetensors") for shape in _shapes(path)]
        if not shapes or not (folder / "config.json").is_file():
            return
        config = json.loads((folder / "config.json").read_bytes())
        widest = max((size for shape in shapes for size in shape), default=0)
        for names, most in ((_LAYERS, len(shapes)), (_WIDTHS, widest)):
            for name in names:
                value = config.get(name, 0) or 0
                if not isinstance(value, int) or not 0 <= value <= most:
                    raise ModelError(
                        f"{folder / 'config.json'} says {name} {str(value)[:40]!a}, not as its weights",
                        hint="Copy or download the model again.",
                    )


def _shapes(path: Path) -> Iterator[list[int]]:
    """Shapes of the tensors in a file, from its header alone."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > MOST_HEADER:
            raise ValueError(f"{path} has a header of {size} bytes")
        header = json.loads(file.read(size))
    for name, entry in header.items():
        if name != "__metadata__":
            yield [int(length) for length in entry["shape"]]
