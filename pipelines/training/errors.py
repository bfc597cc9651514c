"""What can go wrong in a training beside what can go wrong anywhere."""

from retrieval.errors import CorpusmillError


class TrainingFailed(CorpusmillError):
    """A training stopped; its last checkpoint is kept."""
