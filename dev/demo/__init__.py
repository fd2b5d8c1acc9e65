"""The demo: from nothing to a model's answer through the gateway. The end-to-end tests use its parts too."""
