"""What was read from the cluster, Ray Serve, gateways and replicas, and what it means."""
