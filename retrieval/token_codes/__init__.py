"""Token vectors stored as codes: their codec, and the codes of a shard."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
