"""How a new revision takes over from the one that serves, arm by arm."""
