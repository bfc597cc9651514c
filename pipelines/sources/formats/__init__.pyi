from . import delimited as delimited
from . import jsonl as jsonl
from . import pages as pages
from . import parquet as parquet
