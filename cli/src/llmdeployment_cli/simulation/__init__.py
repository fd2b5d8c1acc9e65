"""The simulator at the terminal; the only package here that imports the operator, by the extra `simulate`."""
