"""Loads a checked model with sentence-transformers, whatever its kind."""

import os
from typing import Any

import torch

from retrieval.errors import ModelError
from retrieval.models.errors import check_weights
from retrieval.models.layer_checks import look_between_layers
from retrieval.models.resolved_model import ResolvedModel
from retrieval.models.trust import Trust


def load_model(
    kind: str, model: ResolvedModel, trust: Trust, *, device: str, dtype: torch.dtype, **more: Any
) -> Any:
    """The model as the class of sentence-transformers that is named `kind`, which gets `more` too.

    Raises ModelError where that cannot load it.
    """
    os.environ.setdefault("USE_HUB_KERNELS", "NO")  # transformers would fetch compiled code for some models
    import sentence_transformers
    from safetensors import SafetensorError
    from transformers.utils import logging

    check_weights(model.folder)
    logging.disable_progress_bar()  # a bar for each load would break into the build's own progress
    try:
        loaded = getattr(sentence_transformers, kind)(
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
    return loaded.eval()
