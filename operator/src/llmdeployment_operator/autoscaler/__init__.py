"""How many replicas keep the latency targets: pure, and the same code in the operator and in the simulator."""
