"""Landmarks of one person in every frame of a video file, by MediaPipe's pose estimator."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error

Array = NDArray[Any]

LANDMARKS = 33
_PEOPLE = 4
_MOST_PIXELS = 1920
_MOVED_SHARE = 0.02
_CUT_SHARE = 0.35
_CORNERS = 200
_LEAST_FPS, _GREATEST_FPS = 1.0, 1000.0


def _libraries(path: Path) -> tuple[Any, Any, Any]:
    try:
        import cv2  # pyright: ignore[reportMissingImports]
        import mediapipe  # pyright: ignore[reportMissingImports]
        from mediapipe.tasks.python import vision  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise input_error(
            path, f"reading video needs {error.name}", fix="pip install 'humanoid-mimic[video]'"
        ) from None
    return cv2, mediapipe, vision


def estimate(path: Path, *, person: int | None = None, model: Path | None = None,
             progress: bool = True) -> dict[str, Any]:  # fmt: skip
    """Arrays of landmarks as `motions.human.readers.landmarks` reads them.

    The person followed is the largest of the first frame that shows one, or number `person`,
    counted from 1 at the left; from frame to frame whoever is nearest to where that person was.
    Refuses a camera that moves and a cut: the fit needs one still camera.
    """
    if not path.is_file():
        raise input_error(path, "no such file")
    cv2, mediapipe, vision = _libraries(path)
    from motions.human.video.model import bundle

    film = cv2.VideoCapture(str(path))
    try:
        fps, count = float(film.get(cv2.CAP_PROP_FPS)), int(film.get(cv2.CAP_PROP_FRAME_COUNT))
        if not film.isOpened():
            raise input_error(path, "this is no video that can be decoded",
                              fix="does it play? convert it: ffmpeg -i FILE clip.mp4")  # fmt: skip
        if not _LEAST_FPS <= fps <= _GREATEST_FPS:
            raise input_error(path, "the video's frame rate is not usable", found=f"{fps:g} fps",
                              fix="ffmpeg -i FILE -r 30 clip.mp4")  # fmt: skip
        options = vision.PoseLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(bundle(model))),
            running_mode=vision.RunningMode.VIDEO, num_poses=_PEOPLE,
        )  # fmt: skip
        try:
            estimator = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise input_error(model, "the pose model cannot be used",
                              found=str(error).splitlines()[0][:80]) from None  # fmt: skip
        try:
            return _frames(path, film, fps, count, cv2, mediapipe, estimator, person, progress)
        finally:
            estimator.close()
    finally:
        film.release()


def _frames(path: Path, film: Any, fps: float, count: int, cv2: Any, mediapipe: Any,
            estimator: Any, person: int | None, progress: bool) -> dict[str, Any]:  # fmt: skip
    world, pixels, seen, times = [], [], [], []
    place: Array | None = None
    watch = _Stillness(cv2)
    begin = told = time.monotonic()
    width = height = 0
    while True:
        stamp = float(film.get(cv2.CAP_PROP_POS_MSEC))
        there, picture = film.read()
        if not there:
            break
        number = len(times)
        times.append(stamp)
        height, width = picture.shape[:2]
        small = min(1.0, _MOST_PIXELS / max(width, height))
        shown = picture if small == 1.0 else cv2.resize(picture, None, fx=small, fy=small)
        image = mediapipe.Image(
            image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(shown, cv2.COLOR_BGR2RGB)
        )
        found = estimator.detect_for_video(image, round(1000.0 * number / fps))
        people = [np.array([[m.x * width, m.y * height, m.visibility] for m in one])
                  for one in found.pose_landmarks]  # fmt: skip
        chosen = _choose(path, people, place, person)
        if chosen is None:
            world.append(np.full((LANDMARKS, 3), np.nan))
            pixels.append(np.full((LANDMARKS, 2), np.nan))
            seen.append(np.zeros(LANDMARKS))
        else:
            world.append(np.array([[m.x, m.y, m.z] for m in found.pose_world_landmarks[chosen]]))
            pixels.append(people[chosen][:, :2])
            seen.append(people[chosen][:, 2])
            place = people[chosen][:, :2].mean(axis=0)
        watch.look(path, number, picture, [p[:, :2] for p in people])
        if progress and time.monotonic() - told > 1.0:
            told = time.monotonic()
            rate = (number + 1) / (told - begin)
            left = f", {max(count - number - 1, 0) / rate:.0f} s left" if count > 0 else ""
            print(f"{path.name}: frame {number + 1} of {count}, {rate:.1f} frames/s{left}",
                  file=sys.stderr)  # fmt: skip
    if not times:
        raise input_error(path, "there are no pictures in this video", fix="does it play?")
    detected = np.array([row.any() for row in seen])
    if detected.sum() < 2:
        raise input_error(path, "nobody is seen in this video",
                          found=f"{detected.sum()} of {len(seen)} frames with a person",
                          expected="two or more")  # fmt: skip
    arrays = {"world_landmarks": np.stack(world), "image_landmarks_px": np.stack(pixels),
              "visibility": np.stack(seen), "detected": detected}  # fmt: skip
    return {**_even(arrays, np.array(times) / 1000.0, fps), "fps": fps,
            "width": width, "height": height}  # fmt: skip


def _choose(path: Path, people: list[Array], place: Array | None, person: int | None) -> int | None:
    if not people:
        return None
    if place is not None:
        return int(np.argmin([np.linalg.norm(p[:, :2].mean(axis=0) - place) for p in people]))
    if person is None:
        return int(np.argmax([np.ptp(p[:, 0]) * np.ptp(p[:, 1]) for p in people]))
    order = np.argsort([p[:, 0].mean() for p in people])
    if not 1 <= person <= len(order):
        raise input_error(path, "--person: no such person in the first frame that shows anyone",
                          found=str(person), expected=f"1 to {len(order)}")  # fmt: skip
    return int(order[person - 1])


def _even(arrays: dict[str, Array], times: Array, fps: float) -> dict[str, Array]:
    """Frames at even times where the video's own are not: each of them is the nearest one."""
    steps = np.diff(times)
    if len(times) < 3 or (steps <= 0).any() or np.ptp(steps) < 0.5 / fps:
        return arrays
    wanted = np.arange(times[0], times[-1] + 0.5 / fps, 1.0 / fps)
    nearest = np.abs(times[None] - wanted[:, None]).argmin(axis=1)
    return {key: value[nearest] for key, value in arrays.items()}


class _Stillness:
    """Whether the background stays where it was in the first frame; people are left out."""

    def __init__(self, cv2: Any) -> None:
        self._cv2 = cv2
        self._before: Any = None
        self._drift = np.zeros(2)

    def look(self, path: Path, number: int, picture: Any, people: list[Array]) -> None:
        """Refuse frame `number` where a cut or a move of the camera shows in it."""
        cv2 = self._cv2
        scale = 320.0 / max(picture.shape[:2])
        grey = cv2.cvtColor(cv2.resize(picture, None, fx=scale, fy=scale), cv2.COLOR_BGR2GRAY)
        before, self._before = self._before, grey
        if before is None:
            return
        if np.abs(grey.astype(float) - before).mean() > _CUT_SHARE * 255:
            raise input_error(path, "the video has a cut", found=f"at frame {number}",
                              fix="ffmpeg -i FILE -ss START -to END clip.mp4")  # fmt: skip
        mask = np.full(grey.shape, 255, np.uint8)
        for points in people:
            low, high = points.min(axis=0) * scale, points.max(axis=0) * scale
            edge = 0.3 * (high - low)
            x0, y0 = np.maximum(low - edge, 0).astype(int)
            x1, y1 = np.maximum(high + edge, 0).astype(int)
            mask[y0:y1, x0:x1] = 0
        corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 5, mask=mask)
        if corners is None or len(corners) < 8:
            return
        after, good, _ = cv2.calcOpticalFlowPyrLK(before, grey, corners, None)
        moved = (after - corners).reshape(-1, 2)[good.ravel() == 1]
        if len(moved) < 8:
            return
        self._drift += np.median(moved, axis=0)
        if np.linalg.norm(self._drift) > _MOVED_SHARE * 320:
            raise input_error(
                path, "the camera moves; the fit needs one that stands still",
                found=f"the background {np.linalg.norm(self._drift) / 3.2:.0f} % of the picture "
                f"away at frame {number}", fix="film from a tripod, or cut out a still part",
            )  # fmt: skip
