"""Whether a robot could do what a reference asks for."""
