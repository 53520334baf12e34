"""Pure term functions ``f(env, **parameters) -> Tensor[N, ...]``."""
