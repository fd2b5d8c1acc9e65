"""How many replicas keep the latency targets: pure, without Kubernetes, the same code in the operator and in the simulator."""
