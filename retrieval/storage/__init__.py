"""Where an index lies: a folder on a local disk or an object store, its keys, and checked local copies.

store = Store("s3://bucket/index")
record = store.put("ledger/000001.json", data)
path = store.local(record, default_cache(store))
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
