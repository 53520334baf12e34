"""How hard a clip is to follow, in one number, from the measures that curation takes.

PHUMA's measures (arXiv 2510.26236) say more than keep or reject: a clip that uses little of every
limit (a stance, a slow walk) is easy, one that comes close to a limit (a jump, a run, a get-up) is
hard. Training may begin with the easy ones, see `mimic.envs.mdp.curriculum.admit_by_difficulty`.
"""

from __future__ import annotations

from motions.robot.curation.judge import chunk_ranges
from motions.robot.curation.measures import Measures, measure_paths
from motions.robot.curation.settings import CurationSettings, Thresholds
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.motion import RobotMotion
from robots.robot import Robot


def used(measures: Measures, thresholds: Thresholds) -> float:
    """The largest share of a limit that a chunk uses: 0 rests on its feet, 1 is refused.

    ``max(jerk / most, support / most, (1 - contact) / (1 - least), (1 - height) / (1 - least),
    fast / most)``: the measures that make a motion hard for a robot, not those of a bad recording
    (under the ground, beyond a joint's range).
    """
    return max(
        measures.root_jerk / thresholds.root_jerk,
        measures.support_distance / thresholds.support_distance,
        (1.0 - measures.contact_score) / (1.0 - thresholds.contact_score),
        (1.0 - measures.base_height_min) / (1.0 - thresholds.base_height_min),
        measures.fast_rate / thresholds.fast_rate,
        0.0,
    )


def difficulty_of(
    motion: RobotMotion, robot: Robot, settings: CurationSettings | None = None
) -> float:
    """The difficulty of a clip: what its hardest chunk uses of the limits, see `used`.

    Args:
        motion: of `robot`, see `motions.robot.motion.check_fits`.
        settings: of the chunks and the limits.
    """
    settings = settings or CurationSettings()
    base = motion.body_names.index(robot.body_names[0])
    path = RobotTrajectory(
        fps=motion.fps,
        root_pos=motion.body_pos_w[:, base],
        root_quat=motion.body_quat_w[:, base],
        joint_pos=motion.with_joint_order(robot.joint_names).joint_pos,
        joint_names=robot.joint_names,
        scene=motion.scene,
    )
    paths = measure_paths(path, robot)
    ranges = chunk_ranges(0, motion.num_frames, motion.fps, settings)
    return max(used(paths.measures(*each), settings.thresholds) for each in ranges)
