"""Names, reasons, and small facts that every other room needs."""
