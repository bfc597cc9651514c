"""How good answers are: exact match, F1, citations, abstention, time and cost, without a judge."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
