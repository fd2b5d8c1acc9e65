"""`kubectl llm`: what an LLMDeployment does, and rollouts by hand."""
