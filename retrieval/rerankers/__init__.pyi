from .cross_encoder import full_text as full_text
from .registry import RERANKERS as RERANKERS
from .reranker import Reranker as Reranker
