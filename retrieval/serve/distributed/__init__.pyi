from .ingress import build as build
