"""What all packages stand on: errors, files, the command-line door, rotations, signals."""
