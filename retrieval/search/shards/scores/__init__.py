"""Kinds of scores that shards give passages: a function over one shard each, by name in the registry."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
