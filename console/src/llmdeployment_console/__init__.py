"""The console: a web page that shows LLMDeployments, and the server behind it."""
