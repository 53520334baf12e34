"""Terrain, objects and contacts around the robot: from a configuration, and from a motion.

    python examples/13_scene.py

One description of a terrain serves the retargeter, the motion's file and the simulation.
"""

from __future__ import annotations

import numpy as np
import torch

import robots
from mimic.sim import make_engine
from mimic.sim.motion_scene import scene_of_motion
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import ContactConfig, SceneConfig, make_scene
from mimic.sim.terrain import Steps
from mimic.tasks import make_env
from motions import RobotMotion
from motions.human import demo
from motions.robot.quality.ground import sole_heights
from motions.robot.terrain import ground_of
from motions.robot.terrain_files import read_terrain
from retarget import retarget
from robots import Robot

SCENE = SceneConfig(
    terrain=Steps(rise=0.10, tread=0.4, count=2, start=0.6),
    objects={
        "ball": ObjectConfig(shape="sphere", size=(0.1,), mass=0.5, pos=(0.0, 0.6, 0.15)),
        "table": ObjectConfig(size=(0.2, 0.3, 0.35), fixed=True, pos=(-0.9, 0.0, 0.35)),
    },
    contacts={"bounce": ContactConfig(body="ball", other="terrain")},
)


def from_a_configuration(robot: Robot) -> None:
    scene = make_scene(robot, SCENE)
    print(f"heights at x = 0.5, 0.8, 1.2 m: {scene.height([0.5, 0.8, 1.2], 0.0)} m")
    engine = make_engine("mujoco", scene, 1, threads=1)
    qpos = torch.tensor(scene.model.qpos0)[None].float()
    qpos[0, 2] = robot.default_root_height + float(scene.height(0.0, 0.0))
    qpos[0, 7 : 7 + robot.num_joints] = torch.tensor(robot.default_joint_pos)
    engine.reset(torch.tensor([0]), qpos, torch.zeros(1, scene.model.nv))
    for _ in range(25):
        engine.step(qpos[:, 7 : 7 + robot.num_joints])
    contacts = engine.state.contacts
    feet = sum(float(contacts[f"{side}_foot"].force[0, 2].abs()) for side in ("left", "right"))
    print(f"feet carry {feet:.0f} N, the robot weighs {weight(robot):.0f} N")
    lies, bears = engine.state.objects["ball"].pos_w[0, 2], contacts["bounce"].force[0, 2].abs()
    print(f"the ball lies at {float(lies):.2f} m, the ground bears it with {float(bears):.1f} N")


def weight(robot: Robot) -> float:
    return 9.81 * float(robot.model.body_mass.sum())


def from_a_motion(robot: Robot) -> None:
    step = ground_of({"terrain": read_terrain("steps:rise=0.12,count=1,landing=9,start=1.0")})
    walk = demo.generate("walk").resample(30.0).crop(60, 180)
    retarget(walk, robot, ground=step).save("up.npz")

    motion = RobotMotion.load("up.npz")
    heights = sole_heights(robot, motion.body_pos_w, motion.body_quat_w, ground_of(motion.scene))
    off = 1e3 * np.abs(heights[motion.contact > 0.999]).mean()
    print(f"up.npz carries {motion.scene['terrain']['type']}: standing soles {off:.1f} mm off")
    print(f"as a configuration: {len(scene_of_motion(motion).terrain.parts().blocks)} block")
    env = make_env("tracking", ["up.npz"], num_envs=2, robot=robot, engine="mujoco", threads=1)
    print(f"the task is trained on it: {float(env.scene.height(2.0, 0.0)):.2f} m high at x = 2 m")


def main() -> None:
    robot = robots.load("unitree_g1")
    from_a_configuration(robot)
    from_a_motion(robot)


if __name__ == "__main__":
    main()
