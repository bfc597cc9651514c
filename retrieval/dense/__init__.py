"""The dense index on disk: its spec, its quantizer and its shards, opened and searched.

What needs FAISS and torch is imported when it is asked for: reading a manifest takes the spec alone.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
