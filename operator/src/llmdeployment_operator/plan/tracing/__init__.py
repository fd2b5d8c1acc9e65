"""Rollouts, evaluations and passes as spans of traces: data in, spans out."""
