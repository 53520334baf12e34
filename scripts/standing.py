"""How well a deployed policy stands once it holds: from any moment of its clips, under pushes.

python scripts/standing.py POLICY [--motion CLIP ...] [--hold-policy STANDER] [--episodes 100]
    [--seconds 20] [--kicks 0.5] [--noise] [--seed 0]

Each episode is a deployment in lock-step: limp, standing, the clip up to a moment that is drawn,
`hold`, and then ``--seconds`` of standing, in which the base is given a random velocity every 1 to
3 s (within +-0.5, 0.5, 0.2 m/s and +-0.52, 0.52, 0.78 rad/s, as in training). It stands if nothing
trips the guard, not a command is outside the limits and the base stays upright. Told besides: how
far it is from where it was at the end, and how fast its joints move.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import robots
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.rest import Rest
from mimic.deploy.setup import DeploySettings, make_guard, make_pilot, make_stander, references_of
from mimic.deploy.simulated import Imperfections, SimulatedRobot, SimulationSettings
from mimic.policy.observations import Reference
from mimic.policy.player import PolicyPlayer
from mimic_base.rotations import quat_inv_rotate, quat_rotate
from motions.robot.dataset import find_motion_files

LIN_VEL, ANG_VEL = np.array([0.5, 0.5, 0.2]), np.array([0.52, 0.52, 0.78])
"""m/s, rad/s: the widest kick, along the world's axes."""
EVERY = (1.0, 3.0)
"""s between two kicks."""
NOISE = Imperfections(joint_pos_noise=0.01, joint_vel_noise=0.5, gyro_noise=0.2, tilt_noise=0.02)
"""That of training: standard deviations in each state."""


@dataclass(frozen=True, kw_only=True)
class Stood:
    """An episode.

    Attributes:
        clip: its name. moment: s of the clip at which it was asked to hold.
        stood: s for which it stood. why: it did not to the end; empty where it did.
        drift: m from where it was when it was asked. busy: rad/s of the joints, mean.
    """

    clip: str
    moment: float
    stood: float
    why: str
    drift: float
    busy: float


def episode(
    player: PolicyPlayer,
    clip: tuple[str, Reference],
    moment: float,
    *,
    seconds: float,
    kicks: float,
    noise: bool,
    seed: int,
    stander: PolicyPlayer | None = None,
) -> Stood:
    """One deployment."""
    contract = player.contract
    robot = robots.load(contract.robot.name)
    name, reference = clip
    dt = contract.control_dt
    flaws = replace(NOISE, seed=seed) if noise else Imperfections()
    settings = SimulationSettings(tick=dt, physics_hz=4.0 / dt)
    simulated = SimulatedRobot(robot, settings, flaws)
    deploy = DeploySettings(command_hz=1.0 / dt, pilot=PilotSettings(stand_s=0.6, ready_s=0.4))
    identity, stands = simulated.identity, None
    if stander is not None:
        stands = make_stander(stander, player, robot, identity, deploy)
    pilot = make_pilot(
        player, identity, [reference],
        Chain.of(robot, contract.anchor_body, contract.joint_names), deploy,
        rest=Rest.of(contract, robot, [reference]), stander=stands,
    )  # fmt: skip
    steps = LockStep(simulated, make_guard(player, identity, deploy, stander), pilot, 1)
    random = np.random.default_rng(seed)
    data, began, again, place = simulated.body.data, None, 0.0, np.zeros(2)
    busy: list[float] = []
    asked = False
    while True:
        tracked = simulated.time - pilot.machine.since
        events = ["hold"] if pilot.mode == Mode.TRACK and tracked >= moment else []
        steps.tick(events)
        state = simulated.body.state
        if pilot.mode == Mode.HOLD and began is None:
            began, again = simulated.time, simulated.time + random.uniform(*EVERY)
            place, asked = state.root_pos_w[:2].copy(), True
        if began is not None and simulated.time >= again and kicks:
            again = simulated.time + random.uniform(*EVERY)
            data.qvel[:3] += kicks * random.uniform(-1.0, 1.0, 3) * LIN_VEL
            spin = kicks * random.uniform(-1.0, 1.0, 3) * ANG_VEL
            data.qvel[3:6] += quat_inv_rotate(state.root_quat_w, spin)
        up = quat_rotate(state.root_quat_w, np.array([0.0, 0.0, 1.0]))
        why = steps.guard.trip or pilot.stop or ("leans" if up[2] < 0.6 else "")
        if simulated.inspector.unsafe:
            why = f"unsafe: {simulated.inspector.first}"
        if asked:
            busy.append(float(np.abs(simulated.body.joint_vel).mean()))
        stood = 0.0 if began is None else simulated.time - began
        if why or stood >= seconds:
            drift = float(np.linalg.norm(state.root_pos_w[:2] - place)) if asked else 0.0
            return Stood(
                clip=name, moment=moment, stood=stood, why=why, drift=drift,
                busy=float(np.mean(busy)) if busy else 0.0,
            )  # fmt: skip


def table(stood: Sequence[Stood]) -> list[str]:
    """A row for each clip and one for all."""
    rows = ["| clip | stood | drift m, mean | most | joints rad/s | fell, after |"]
    rows.append("|---|---|---|---|---|---|")
    for name in [*dict.fromkeys(each.clip for each in stood), "all"]:
        these = [each for each in stood if name in (each.clip, "all")]
        good = [each for each in these if not each.why]
        fell = ", ".join(
            f"{each.why} at {each.moment:.1f} s after {each.stood:.1f}"
            for each in these if each.why
        )  # fmt: skip
        drift = [each.drift for each in good] or [0.0]
        busy = [each.busy for each in good] or [0.0]
        rows.append(
            f"| {name} | {len(good)} of {len(these)} | {np.mean(drift):.2f} | {max(drift):.2f} | "
            f"{np.mean(busy):.2f} | {fell if name != 'all' else ''} |"
        )
    return rows


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("policy", type=Path)
    asked.add_argument("--motion", type=Path, nargs="*", default=[])
    asked.add_argument("--hold-policy", type=Path, default=None)
    asked.add_argument("--episodes", type=int, default=100, help="of all clips together")
    asked.add_argument("--seconds", type=float, default=20.0)
    asked.add_argument("--kicks", type=float, default=1.0, help="in shares of training's")
    asked.add_argument("--noise", action="store_true", help="that of training")
    asked.add_argument("--end", action="store_true", help="hold at the clip's end only")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    player = PolicyPlayer(options.policy)
    stander = PolicyPlayer(options.hold_policy) if options.hold_policy else None
    files = [each.path for each in find_motion_files(options.motion)] if options.motion else []
    clips = list(
        zip(
            [file.stem for file in files] or ["the policy's"],
            references_of(player, files), strict=True,
        )
    )  # fmt: skip
    random, stood = np.random.default_rng(options.seed), []
    begin = time.process_time()
    for number in range(options.episodes):
        clip = clips[number % len(clips)]
        length = clip[1].num_frames * player.contract.control_dt
        moment = 1e9 if options.end else float(random.uniform(0.3, length - 0.1))
        stood.append(
            episode(
                player, clip, moment, seconds=options.seconds, kicks=options.kicks,
                noise=options.noise, seed=options.seed + number, stander=stander,
            )
        )  # fmt: skip
    print("\n".join(table(stood)))
    print(f"{time.process_time() - begin:.0f} s of processor time")


if __name__ == "__main__":
    main()
