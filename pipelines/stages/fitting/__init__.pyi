from .fusion_weights import with_fitted_weights as with_fitted_weights
from .quantizer import Trained as Trained
from .quantizer import trained_quantizer as trained_quantizer
from .sampling import build_background as build_background
from .tuning import Tuning as Tuning
from .tuning import tune_search as tune_search
