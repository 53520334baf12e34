"""Where the feet stand and how they move: contacts, the plan, footprints."""
