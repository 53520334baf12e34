"""Dropped frames: which time between two neighbours makes the motion around them smooth?

Where frames are missing, all coordinates go too far in one step, each in its own measure. So for
every step the frames around it are fitted by polynomials, once as they stand and once for every
number of frames that may be missing there. Missing frames are believed when the fit with the gap
is better by far, over the base and all joints together; and better, too, than when one of the two
frames beside the step is left out, since a stream that stalls and catches up, or a bad frame, has
lost no time.

The measure is the logarithm of the ratio of mean squared residuals, summed over the coordinates: a
likelihood ratio with the variance of each coordinate unknown. A joint that glitches alone has one
vote among many, and what a foot's impact does to the legs fits no gap either.
"""

from __future__ import annotations

import numpy as np

from mimic_base.rotations import quat_conj, quat_log, quat_mul
from mimic_base.vectors import Array
from motions.robot.formats.trajectory import RobotTrajectory

SIDE = 5
"""Frames on each side of a step that are fitted; nearer to an end nothing can be found."""
DEGREE = 5
"""Degree of the fitted polynomials: ten frames of a fast dance at 30 fps are no parabola."""
NOISE = 2e-4
"""m or rad, residual below which a fit is perfect; files are rounded."""


def dropped_frames(
    motion: RobotTrajectory, longest: int, evidence: float
) -> list[tuple[int, int, float]]:
    """Steps where frames are missing: (frame before, number missing, evidence), in order of time.

    Args:
        longest: most frames that may be missing at one place.
        evidence: least sum of log ratios that counts; see the module.

    Of findings closer together than the frames that are fitted only the surest is returned: put
    its frames back and look again.
    """
    gains = _gains(_coordinates(motion), longest)
    found: list[tuple[int, int, float]] = []
    if gains.size == 0:
        return found
    best = gains.max(axis=0)
    for index in np.argsort(-best):
        if best[index] < evidence:
            break
        frame = int(index) + SIDE - 1
        if all(abs(frame - other) > 2 * SIDE for other, _, _ in found):
            found.append((frame, int(gains[:, index].argmax()) + 1, float(best[index])))
    return sorted(found)


def _coordinates(motion: RobotTrajectory) -> Array:
    """Base position, its turns from frame to frame summed up, joints: [T, 6 + J] m and rad."""
    turn = quat_log(quat_mul(motion.root_quat[1:], quat_conj(motion.root_quat[:-1])))
    turned = np.concatenate([np.zeros((1, 3)), np.cumsum(turn, axis=0)])
    return np.concatenate([motion.root_pos, turned, motion.joint_pos], axis=1)


def _gains(values: Array, longest: int) -> Array:
    """Evidence for 1 to `longest` missing frames at each step, [longest, T - 2 SIDE + 1]."""
    if len(values) < 2 * SIDE:
        return np.zeros((longest, 0))
    around = np.lib.stride_tricks.sliding_window_view(values, 2 * SIDE, axis=0)
    around = around - around.mean(axis=-1, keepdims=True)

    def misfit(maker: Array) -> Array:
        return ((around @ maker.T) ** 2).mean(axis=-1)

    time = np.arange(2.0 * SIDE)
    plain = misfit(_residual_maker(time))
    noise = np.median(plain, axis=0) + NOISE**2
    others = [plain, *(misfit(_residual_maker(time, without=t)) for t in (SIDE - 1, SIDE))]
    best_other = np.min([np.log(other + noise).sum(axis=-1) for other in others], axis=0)
    gaps = [misfit(_residual_maker(time + n * (time >= SIDE))) for n in range(1, longest + 1)]
    return np.stack([best_other - np.log(gap + noise).sum(axis=-1) for gap in gaps])


def _residual_maker(time: Array, without: int | None = None) -> Array:
    """Rows whose products with samples at `time` [N] are the residuals of the polynomial fit.

    Orthonormal, so that their mean square estimates the variance; `without` leaves a sample out.
    """
    used = np.array([t for t in range(len(time)) if t != without])
    scaled = (time[used] - time.mean()) / time.std()
    basis, _ = np.linalg.qr(np.vander(scaled, DEGREE + 1), mode="complete")
    rows = np.zeros((len(used) - DEGREE - 1, len(time)))
    rows[:, used] = basis[:, DEGREE + 1 :].T
    return rows
