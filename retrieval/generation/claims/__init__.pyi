from .checking import CheckedAnswer as CheckedAnswer
from .verification import CALIBRATION as CALIBRATION
from .verification import ClaimEvidence as ClaimEvidence
from .verification import Verifier as Verifier
