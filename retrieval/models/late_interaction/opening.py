"""Opens the token encoder that the settings name, of whichever kind its files are."""

import torch

from retrieval.deadline import to_the_end
from retrieval.models.errors import reading_model
from retrieval.models.late_interaction.checkpoint import CheckpointTokenEncoder
from retrieval.models.late_interaction.hidden_states import BareTokenEncoder
from retrieval.models.late_interaction.resolve_model import is_checkpoint, late_card, late_model
from retrieval.models.late_interaction.token_encoder import TokenEncoder
from retrieval.models.resolved_model import resolve_model_side
from retrieval.models.trust import Trust
from retrieval.settings import LateInteractionSettings, ModelSettings


@to_the_end
@reading_model()
def open_token_encoder(
    settings: LateInteractionSettings, embedding: ModelSettings, *, threads: int | None = None,
    trust: Trust = Trust(),
) -> TokenEncoder:  # fmt: skip
    """Have the configured model, or the embedding model, in memory. `threads` bounds torch's on a CPU.

    Raises ModelError as `models.resolve`, and ConfigError for a device that is not there.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    model = late_model(settings, embedding)
    checkpoint = is_checkpoint(resolve_model_side(model, "passage", trust).folder)
    kind = CheckpointTokenEncoder if checkpoint else BareTokenEncoder
    encoder: TokenEncoder = kind(model, settings.query_tokens, trust)
    encoder.card = late_card(settings, embedding, trust)
    encoder.dimension = encoder.encode_queries(["dimension"])[0].shape[1]
    return encoder
