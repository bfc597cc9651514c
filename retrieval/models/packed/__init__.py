"""Transformers over packed rows: a batch is one row of tokens after the other, and only attention is batched.

Rows come sorted by length, so that rows of about one length are neighbours: attention takes each such
run as a view of the packed tokens, without a copy. On a CPU the weights are laid out for oneDNN once,
and GELU and the residual sums ride on the matrix products.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
