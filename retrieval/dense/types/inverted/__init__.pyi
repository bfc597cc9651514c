from .inverted_type import MIN_PER_LIST as MIN_PER_LIST
from .inverted_type import InvertedType as InvertedType
from .inverted_type import choose_nlist as choose_nlist
from .trained_index import TrainedLists as TrainedLists
