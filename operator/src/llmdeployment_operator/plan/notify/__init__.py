"""What people outside of the cluster are told, in which form, and when it is tried again."""
