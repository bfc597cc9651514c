"""tantivy's side of a shard: an index of the terms that finds candidates quickly."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
