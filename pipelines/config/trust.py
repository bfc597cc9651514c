"""What a build allows the models that its own configuration names; nothing else is ever asked."""

from retrieval.models import Trust
from retrieval.settings import ModelSettings


def configured_trust(model: ModelSettings) -> Trust:
    """As the configuration of the person who builds says, never that of an index."""
    return Trust(remote_code=model.trust_remote_code, pickle=model.allow_pickle)
