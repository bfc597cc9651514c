from .likelihood import log_prior as log_prior
from .likelihood import sequence_likelihood as sequence_likelihood
from .likelihood import token_likelihood as token_likelihood
