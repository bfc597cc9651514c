"""The parts that reading leaves on disk: passages, ids and rejects of each slice, in ledger order."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
