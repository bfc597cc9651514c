from .backends import Backend as Backend
from .ingress import build as build
from .replica_port import keep_to_loopback as keep_to_loopback
from .vllm import VLLMGenerator as VLLMGenerator
