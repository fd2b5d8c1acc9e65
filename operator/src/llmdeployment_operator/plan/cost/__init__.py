"""What an LLMDeployment costs: what is charged, and what is reported of it."""
