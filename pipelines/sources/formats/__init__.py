"""Formats of documents: a module each, whose name is the format's and whose `FORMAT` is the format.

No list names them: `pipelines.sources.registry` looks into this folder. docs/extending.md says how to
add one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
