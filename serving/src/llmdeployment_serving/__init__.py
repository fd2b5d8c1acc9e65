"""One Ray Serve replica: an OpenAI-compatible server around one engine."""
