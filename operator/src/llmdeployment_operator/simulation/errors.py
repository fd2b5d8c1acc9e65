"""What is wrong with what a user gave the simulator."""


class InputError(ValueError):
    """A trace, profile or spec that cannot be simulated; the sentence says which, what and what to do."""
