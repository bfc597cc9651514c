from .registry import score_of as score_of
