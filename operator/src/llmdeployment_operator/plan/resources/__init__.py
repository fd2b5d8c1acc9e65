"""The Kubernetes objects of a runtime."""
