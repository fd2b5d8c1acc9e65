"""Turns LLMDeployment objects into running, observed, replaceable model servers."""
