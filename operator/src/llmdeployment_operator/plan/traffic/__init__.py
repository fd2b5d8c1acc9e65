"""The front door: the built-in gateway, or an HTTPRoute."""
