"""Every call the operator makes: Kubernetes, Ray's REST API, a gateway's and a replica's `/stats`."""
