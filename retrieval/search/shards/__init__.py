"""What is asked of shards: the requests, the shards of one process, and how their answers are combined."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
