"""The front door of one LLMDeployment: HAProxy and the agent that steers it."""
