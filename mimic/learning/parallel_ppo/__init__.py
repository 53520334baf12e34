"""The parts of PPO: an iteration's samples, a teacher beside them, the gradient steps."""
