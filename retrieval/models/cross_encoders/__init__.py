"""Cross-encoder re-ranking: a model reads a query and a passage together and gives one score."""

from retrieval.models.cross_encoders.cross_encoder import CrossEncoder, PairScores, cross_encoder_card

__all__ = ["CrossEncoder", "PairScores", "cross_encoder_card"]
