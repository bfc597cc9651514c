"""Examples: from what people have, with hard negatives, in splits that share no document."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
