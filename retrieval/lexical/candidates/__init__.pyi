from .candidates import ROW_FIELD as ROW_FIELD
from .candidates import TERMS_FIELD as TERMS_FIELD
from .candidates import Candidates as Candidates
from .candidates import CandidatesWriter as CandidatesWriter
from .candidates import error_bound as error_bound
