"""Learning curves for TensorBoard: worth having, never worth the training."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class Curves:
    """Event files in a run directory; where they cannot be written, one warning and no more.

    Args:
        iteration: what lies behind it in earlier files of this run is not shown any more.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None
        with self._or_without():
            self._writer = SummaryWriter(str(folder), purge_step=iteration + 1)

    def write(self, record: Mapping[str, Any], iteration: int) -> None:
        """Add every number of a record; names without a group go to the group ``train``."""
        if self._writer is None:
            return
        with self._or_without():
            for name, value in record.items():
                if isinstance(value, int | float) and name != "iteration":
                    tag = name if "/" in name else f"train/{name}"
                    self._writer.add_scalar(tag, value, iteration)

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._or_without():
                writer.close()

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer = None
            print(
                f"warning: {self.folder}: no curves for TensorBoard any more: "
                f"{error.strerror or error}; progress.jsonl has them",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def quiet_writer_threads() -> Iterator[None]:
    """Keep TensorBoard's threads from printing a traceback: `Curves` gets the same error, later."""
    before = threading.excepthook

    def hook(caught: threading.ExceptHookArgs) -> None:
        writers = type(caught.thread).__module__.startswith("tensorboard.")
        if not (writers and isinstance(caught.exc_value, OSError)):
            before(caught)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
