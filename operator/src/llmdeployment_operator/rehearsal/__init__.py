"""Rollouts on a virtual clock, before a change touches a cluster: by the code that decides there, against traffic that is made or recorded.

`plan.rollout` takes the steps and `analysis` compares; what is modelled here is the rest of the world: users, replicas, gateways.
"""
