from .analyzer import ANALYSIS as ANALYSIS
from .analyzer import STOP_MARK as STOP_MARK
from .analyzer import Analyzer as Analyzer
from .analyzer import Terms as Terms
