"""How many replicas keep the latency targets: pure, and the same code in operator and simulator."""
