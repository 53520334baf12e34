from pathlib import Path
from motions.readers.raw import RawClip, ReadOptions


def read_c3d(path: Path, options: ReadOptions) -> RawClip:
    raise NotImplementedError
