"""What `mimic train` is told, and what it makes of it."""
