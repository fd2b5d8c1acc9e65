"""The types of `spec` and `status`, and the CustomResourceDefinition made from them.

Nothing here does I/O but the program in `crd`, which writes a file.
"""
