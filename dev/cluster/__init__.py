"""A Kubernetes cluster for development and tests, from whatever the machine offers.

Standard library only: this package runs before anything of the project is installed.
"""
