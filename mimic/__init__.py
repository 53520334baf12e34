"""Physics-based humanoid motion imitation: simulate, train, evaluate, export."""
