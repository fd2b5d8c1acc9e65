"""Dashboards as pictures: `python -m dev.pictures` draws the committed dashboards from what a Prometheus has.

Grafana is none of the project's tools, so this is a small renderer of our own for the kinds of panel that our dashboards have.
"""
