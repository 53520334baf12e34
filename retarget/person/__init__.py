"""What is read from a person: calibrated frames, body constants, flexion axes, scale."""
