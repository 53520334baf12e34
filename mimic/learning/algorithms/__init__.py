"""Learning algorithms, one file each; ``mimic.learning.registry`` names them."""
