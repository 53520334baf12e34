"""Looking at motions and policies: playback, video, pictures, a window, a report."""
