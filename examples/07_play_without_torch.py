"""Run a policy as a robot's computer does: numpy, onnxruntime and MuJoCo, no torch.

    python examples/07_play_without_torch.py [POLICY.onnx MOTION.npz]

The policy file says everything that is needed: joint order, gains, limits, what is observed. The
loop below is that of a robot, with a simulated one in the place of motors and sensors.
"""

from __future__ import annotations

import sys
from importlib.resources import files

import mujoco
import numpy as np

import robots
from mimic.policy.observations import RobotState
from mimic.policy.player import PolicyPlayer
from mimic_base.rotations import quat_inv_rotate
from motions import RobotMotion
from motions.human import demo
from retarget import retarget


def main(policy: str | None = None, motion: str | None = None) -> None:
    player = PolicyPlayer(policy or str(files("mimic") / "assets" / "policy_g1_demo.onnx"))
    contract = player.contract
    robot = robots.load(contract.robot.name)
    clip = RobotMotion.load(motion) if motion else retarget(demo.generate("wave"), robot)
    reference = player.reference(clip)

    spec = robot.spec()
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1], contype=1)
    spec.option.timestep = contract.physics_dt
    model = spec.compile()
    data = mujoco.MjData(model)
    anchor, root = model.body(contract.anchor_body).id, model.body(contract.root_body).id

    # By name, always: the contract's joints and bodies in the model's order.
    q = [int(model.joint(name).qposadr[0]) for name in contract.joint_names]
    v = [int(model.joint(name).dofadr[0]) for name in contract.joint_names]
    motor = [model.actuator(name).id for name in contract.joint_names]
    base = contract.body_names.index(contract.root_body)
    data.qpos[:7] = *reference.body_pos_w[0, base], *reference.body_quat_w[0, base]
    data.qpos[q] = reference.joint_pos[0]
    mujoco.mj_kinematics(model, data)

    action, error = np.zeros(contract.num_joints), []
    for t in range(reference.num_frames - 1):
        state = RobotState(
            joint_pos=data.qpos[q],
            joint_vel=data.qvel[v],
            root_ang_vel_b=data.qvel[3:6],
            anchor_quat_w=data.xquat[anchor],
            anchor_pos_w=data.xpos[anchor],
            root_lin_vel_b=quat_inv_rotate(data.qpos[3:7], data.qvel[:3]),
        )
        action = player.act(player.observe(state, reference, t, action))
        data.ctrl[motor] = player.joint_targets(action)
        mujoco.mj_step(model, data, nstep=round(contract.control_dt / contract.physics_dt))
        mujoco.mj_kinematics(model, data)  # poses of the new state, not of the one before
        error.append(np.linalg.norm(data.xpos[root] - reference.body_pos_w[t + 1, base]))
    print(f"{contract.task} on {contract.robot.name}: {len(error) * contract.control_dt:.1f} s, "
          f"base off by {1e3 * np.mean(error):.0f} mm on average")  # fmt: skip
    print("fell" if max(error) > 0.5 else "stayed up", f"(torch loaded: {'torch' in sys.modules})")


if __name__ == "__main__":
    main(*sys.argv[1:])
