"""The command line of `mimic retarget`: its options and what they start."""
