"""Autoscaling of the runtimes of one LLMDeployment, and what is reported of it."""
