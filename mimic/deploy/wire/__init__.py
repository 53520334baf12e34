"""Messages as bytes, and what carries them between processes."""
