"""A real one-node Kubernetes on a bare Debian or Ubuntu machine, without Docker."""
