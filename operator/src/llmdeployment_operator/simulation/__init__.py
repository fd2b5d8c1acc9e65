"""The operator's own scaling code on a virtual clock: recorded traffic in, latencies and replica-hours out.

Nothing of the operator imports this package; it imports `plan` and `api` and reads no clock.
"""
