"""A policy that is commanded while it plays: keys, a gamepad, sliders, in a browser."""
