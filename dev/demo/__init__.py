"""The demo: from nothing to a model's answer through the gateway. Its parts also serve the end-to-end tests."""
