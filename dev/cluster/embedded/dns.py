"""Asks the cluster's DNS one question, to check that it answers."""

import secrets
import socket
import struct

from dev.cluster.embedded.addresses import DNS_IP, DOMAIN

ASK_SECONDS = 1.0


def is_answering() -> bool:
    """Return whether CoreDNS resolves `kubernetes.default` through its Service (RFC 1035, UDP)."""
    number = secrets.randbelow(65536)
    labels = f"kubernetes.default.svc.{DOMAIN}".split(".")
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    question = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(ASK_SECONDS)
        try:
            asked.sendto(question, (DNS_IP, 53))
            answer = asked.recv(512)
        except OSError:
            return False
    identifier, flags, _, found = struct.unpack(">4H", answer[:8])
    return bool(identifier == number and flags & 0x000F == 0 and found > 0)
