"""Evaluation: how well every stage of a search ranks, how fast it is, and which differences are real."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
