"""Deploy a policy on a simulated robot, press the stop button, and see that it damps.

    python examples/17_deploy.py [POLICY.onnx MOTION.npz]

Pilot, guard and robot go in lock-step here: the same every time, and no process has to be started.
"""

from __future__ import annotations

import sys
from pathlib import Path

import robots
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.messages import Remote, remote_bytes
from mimic.deploy.modes import Mode
from mimic.deploy.setup import (
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.policy.player import PolicyPlayer


def main(policy: str | None = None, *motions: str) -> None:
    player = PolicyPlayer(policy or SHIPPED_POLICY)
    contract = player.contract
    robot = robots.load(contract.robot.name)
    settings = DeploySettings(command_hz=50.0)
    simulated = SimulatedRobot(robot, SimulationSettings(tick=0.02, physics_hz=200.0))
    clips = references_of(player, [Path(each) for each in motions])
    anchor = Chain.of(robot, contract.anchor_body, contract.joint_names)
    steps = LockStep(
        simulated,
        make_guard(player, simulated.identity, settings),
        make_pilot(player, simulated.identity, clips, anchor, settings),
        settings.every(contract.control_dt),
    )
    mode = None
    for _ in steps.run(30.0):
        if steps.pilot.mode != mode:
            mode = steps.pilot.mode
            print(f"{simulated.time:5.2f} s  {mode.name.lower()}  {steps.guard.told}")
        if mode == Mode.HOLD and simulated.time - steps.pilot.machine.since > 1.0:
            simulated.remote = remote_bytes(Remote.B)
        if mode == Mode.DAMPING:
            break
    seen = simulated.inspector
    print(f"motors damp: {simulated.damps}; {seen.seen} commands, {seen.unsafe} outside the limits")


if __name__ == "__main__":
    main(*sys.argv[1:])
