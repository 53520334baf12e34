"""A browser viewer: robot and source play together, with the report's curves (extra `view`)."""
