"""Loads a checked model with sentence-transformers, whatever its kind, once for all that use it."""

import os
from collections.abc import Callable
from functools import partial
from threading import Lock, RLock
from typing import Any

import torch

from retrieval.errors import ModelError
from retrieval.models.errors import check_weights
from retrieval.models.layer_checks import look_between_layers
from retrieval.models.loaded import LOADED
from retrieval.models.resolved_model import ResolvedModel
from retrieval.models.trust import Trust

# transformers sets the precision and the initializers of the whole process while it makes a model's modules:
# two at a time would leave each other's behind.
TRANSFORMERS = Lock()


def load_model(
    kind: str, model: ResolvedModel, trust: Trust, *, device: str, dtype: torch.dtype,
    prepare: Callable[[Any], None] = lambda _loaded: None, variant: tuple[int | None, ...] = (), **more: Any,
) -> Any:  # fmt: skip
    """The model as the class of sentence-transformers that is named `kind`, which gets `more` too.

    Others that ask for the same files, with the same consent, on the same device and in the same precision
    get the same object; what it computes must not be changed. prepare: changes it before anybody gets it;
    where these differ, `variant` says how. Its `tokenizer_lock` is to be held by who calls its tokenizer.
    Raises ModelError where it cannot be loaded.
    """
    key = (kind, model.fingerprint, trust.remote_code, trust.pickle, device, dtype, variant)
    return LOADED.get(key, partial(_load, kind, model, trust, device, dtype, prepare, more))


def _load(
    kind: str, model: ResolvedModel, trust: Trust, device: str, dtype: torch.dtype,
    prepare: Callable[[Any], None], more: dict[str, Any],
) -> Any:  # fmt: skip
    os.environ.setdefault("USE_HUB_KERNELS", "NO")  # transformers would fetch compiled code for some models
    import sentence_transformers
    from safetensors import SafetensorError
    from transformers.utils import logging

    check_weights(model.folder)
    logging.disable_progress_bar()  # a bar for each load would break into the build's own progress
    library_class = getattr(sentence_transformers, kind)
    try:
        with TRANSFORMERS:
            loaded = _with_tokenizer_lock(library_class)(
                str(model.folder),
                device=device,
                trust_remote_code=trust.remote_code,
                local_files_only=True,
                model_kwargs={
                    "dtype": dtype,
                    # None lets transformers take what there is, pickles included.
                    "use_safetensors": None if trust.pickle else True,
                    "weights_only": True,  # tensors alone, whatever the folder's own arguments say
                },
                **more,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, SafetensorError) as error:
        reason = str(error).strip() or type(error).__name__
        raise ModelError(
            f"model {model.name!r} in {model.folder} cannot be loaded: {reason}",
            hint="Copy or download it again.",
        ) from error
    look_between_layers(loaded)
    loaded.eval()
    prepare(loaded)
    return loaded


def _with_tokenizer_lock(library_class: Any) -> Any:
    """A class of sentence-transformers for one model, that tokenizes in one thread at a time.

    A tokenizer of transformers keeps the truncation and padding of the call that is under way: of two calls
    at once, one crashes, or is cut to the length of the other.
    """
    lock = RLock()

    def preprocess(self: Any, *args: Any, **values: Any) -> Any:
        with lock:
            return library_class.preprocess(self, *args, **values)

    # The library reads the class's name in a model's files; it must stay.
    members = {"preprocess": preprocess, "tokenizer_lock": lock, "__module__": library_class.__module__}
    return type(library_class.__name__, (library_class,), members)
