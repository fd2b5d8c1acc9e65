"""From replicas' time and tokens to what they cost; pure arithmetic that imports nothing of the operator."""
