"""Alert rules, recording rules, the list of their runbooks, and Grafana's dashboards, made from tables; `make dashboards` writes them."""
