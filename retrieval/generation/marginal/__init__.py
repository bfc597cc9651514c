"""Answers marginalised over passages: what decoding and training compute of a likelihood."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
