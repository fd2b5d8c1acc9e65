"""The node's name and addresses: fixed, from the range set aside for benchmarks (RFC 2544).

Nothing on the internet and next to no private network uses 198.18.0.0/15, so the node's networks do
not collide with the machine's.
"""

NODE_NAME = "llmd"
NODE_IP = "198.18.255.1"
PODS = "198.18.0.0/17"
SERVICES = "198.19.0.0/16"
DNS_IP = "198.19.0.10"
DOMAIN = "cluster.local"
URL = f"https://{NODE_IP}:6443"
BRIDGE = "llmd0"
