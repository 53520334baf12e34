# MuJoCo is a compiled module without stubs: every attribute is Any to the type checker.
from typing import Any

def __getattr__(name: str) -> Any: ...
