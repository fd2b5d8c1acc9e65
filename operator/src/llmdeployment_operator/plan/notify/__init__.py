"""What people are told outside of the cluster: which changes are worth a message, to whom, in which form, and when it is tried again."""
