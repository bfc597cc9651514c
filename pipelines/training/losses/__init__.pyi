from .contrastive import align as align
from .contrastive import dot_scores as dot_scores
from .contrastive import info_nce as info_nce
from .late_interaction import distil as distil
from .late_interaction import maxsim as maxsim
from .late_interaction import pairwise as pairwise
from .marginal import marginal_loss as marginal_loss
from .marginal import prior_entropy as prior_entropy
