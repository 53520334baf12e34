"""The pose estimator's model: MediaPipe's own network files, put into the bundle its API reads.

They come from the npm package ``@mediapipe/pose`` (Apache-2.0), fetched once into the cache.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from mimic_base.cache import cache_folder
from mimic_base.errors import input_error
from mimic_base.files import atomic_write_bytes, check_writable

PACKAGE = "https://registry.npmjs.org/@mediapipe/pose/-/pose-0.5.1675469404.tgz"
_SHA256 = "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84"
_SIZE = 40_985_403
_DETECTOR = "package/pose_solution_packed_assets.data"
_DETECTOR_BYTES = 2_962_288
_LANDMARKS = "package/pose_landmark_full.tflite"
_BUNDLE = "pose_landmarker_full.task"
_TIMEOUT_S = 60.0


def bundle(model: Path | None) -> Path:
    """The bundle to use: `model`, else the cache's, else one made of the fetched package."""
    if model is not None:
        if not model.is_file():
            raise input_error(model, "--model: no such file", expected="a .task bundle or the .tgz")
        if model.suffix.lower() != ".tgz":
            return model
        return _make(_checked(model.read_bytes(), model))
    path = cache_folder() / "video" / _BUNDLE
    return path if path.is_file() else _make(_fetch())


def _fetch() -> bytes:
    check_writable(cache_folder() / "video" / _BUNDLE)
    try:
        with urllib.request.urlopen(PACKAGE, timeout=_TIMEOUT_S) as response:
            data = response.read(_SIZE + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise input_error(
            None,
            f"the pose model cannot be fetched: {error}",
            fix=f"fetch {PACKAGE} where there is a network and say --model pose-0.5.1675469404.tgz",
        ) from None
    return _checked(data, PACKAGE)


def _checked(data: bytes, where: Path | str) -> bytes:
    digest = hashlib.sha256(data).hexdigest()
    if digest != _SHA256:
        raise input_error(
            where, "this is not the package of the pose model",
            found=f"sha256 {digest[:16]}", expected=_SHA256[:16], fix=f"fetch {PACKAGE} again",
        )  # fmt: skip
    return data


def _make(package: bytes) -> Path:
    """Write the bundle, a zip that is not compressed, into the cache."""
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        parts = {name: _member(archive, name) for name in (_DETECTOR, _LANDMARKS)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as out:
        detector = _with_metadata(parts[_DETECTOR][:_DETECTOR_BYTES], 127.5, 127.5, 2)
        out.writestr("pose_detector.tflite", detector)
        out.writestr(
            "pose_landmarks_detector.tflite", _with_metadata(parts[_LANDMARKS], 0.0, 255.0, 5)
        )
    path = cache_folder() / "video" / _BUNDLE
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, buffer.getvalue())
    return path


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None, name
    return stream.read()


def _with_metadata(network: bytes, mean: float, deviation: float, outputs: int) -> bytes:
    """A TFLite file with how its input is normalised: (value - mean) / deviation, of 0 to 255."""
    import flatbuffers  # pyright: ignore[reportMissingImports]
    import numpy as np
    from mediapipe.tasks.metadata import (  # pyright: ignore[reportMissingImports]
        metadata_schema_py_generated as told,
    )
    from mediapipe.tasks.metadata import (  # pyright: ignore[reportMissingImports]
        schema_py_generated as schema,
    )

    image: Any = told.TensorMetadataT()
    image.name = b"image"
    content = image.content = told.ContentT()
    content.contentPropertiesType = told.ContentProperties.ImageProperties
    content.contentProperties = told.ImagePropertiesT()
    content.contentProperties.colorSpace = told.ColorSpaceType.RGB
    unit: Any = told.ProcessUnitT()
    unit.optionsType = told.ProcessUnitOptions.NormalizationOptions
    unit.options = told.NormalizationOptionsT()
    unit.options.mean, unit.options.std = [mean], [deviation]
    image.processUnits = [unit]
    graph: Any = told.SubGraphMetadataT()
    graph.inputTensorMetadata = [image]
    graph.outputTensorMetadata = [told.TensorMetadataT() for _ in range(outputs)]
    metadata: Any = told.ModelMetadataT()
    metadata.name, metadata.subgraphMetadata = b"pose", [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(metadata.Pack(builder), b"M001")
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(network, 0))
    buffer: Any = schema.BufferT()
    buffer.data = np.frombuffer(bytes(builder.Output()), np.uint8)
    model.buffers.append(buffer)
    entry: Any = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(network) + 65536)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
