"""A robot description derived from nothing but the vendor's MJCF or URDF."""
