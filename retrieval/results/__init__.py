"""Results: what searches and answers give, declared once for library, JSON, service and client.

Needs neither torch nor FAISS.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
