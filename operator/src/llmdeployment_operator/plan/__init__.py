"""Every decision the operator takes, as functions of data and `now`; nothing here does I/O."""
