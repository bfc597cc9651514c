"""Re-rankers: second stages of a search. A module of this folder each, which the registry finds."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
