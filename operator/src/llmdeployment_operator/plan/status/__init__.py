"""What is written to `status`, and what is worth an Event."""
