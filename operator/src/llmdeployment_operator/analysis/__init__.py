"""Whether a canary is worse than the stable revision: counts in, a verdict out."""
