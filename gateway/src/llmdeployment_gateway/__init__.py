"""The gateway of one LLMDeployment: HAProxy, and the agent that controls it."""
