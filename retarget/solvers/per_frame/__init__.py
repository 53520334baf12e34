"""Inverse kinematics frame by frame, on mink."""
