"""A revision against its own first window: what is counted, what is remembered, what is said."""
