from .documents import Document as Document
from .documents import Reject as Reject
from .documents import carried as carried
from .metadata import infer_schema as infer_schema
from .slice_reader import read_slice as read_slice
from .slices import Slice as Slice
from .slices import cut_slices as cut_slices
