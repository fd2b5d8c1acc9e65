"""What a pass counts and says of `spec.experiment`."""
