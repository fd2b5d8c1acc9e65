"""What people outside of the cluster are told: which changes, in which form, and when it is tried again."""
