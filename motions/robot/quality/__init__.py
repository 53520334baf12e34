"""How good a robot motion is: figures, the soles on the ground, and what the robot can do."""
