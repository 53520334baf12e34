"""Faults of a deployment, and what they strike: parts of fault_injection.py."""
