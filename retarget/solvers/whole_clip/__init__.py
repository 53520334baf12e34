"""Whole-clip inverse kinematics: Gauss-Newton over all frames of a clip at once."""
