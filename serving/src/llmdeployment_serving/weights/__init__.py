"""Brings a model's files to a pod: where they come from, which of them, how they arrive, and the cache of a node that keeps them."""
