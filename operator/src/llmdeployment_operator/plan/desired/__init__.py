"""Everything that should exist now."""
