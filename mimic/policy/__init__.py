"""The policy file: its contract, its export, and a player that needs numpy and onnxruntime."""
