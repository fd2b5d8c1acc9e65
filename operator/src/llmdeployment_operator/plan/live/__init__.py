"""The last hour of each LLMDeployment as points in time, for people who look at it now."""
