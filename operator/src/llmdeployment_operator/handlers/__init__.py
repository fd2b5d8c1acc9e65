"""Glue between kopf and the work queue."""
