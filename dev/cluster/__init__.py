"""A Kubernetes cluster for development and tests, with what the machine offers.

Standard library only: this package runs before the project is installed.
"""
