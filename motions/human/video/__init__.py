"""From a video to human motion: the person in the pictures, and where that person was."""
