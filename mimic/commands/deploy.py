"""``mimic deploy``: run a policy on a robot, a simulated one unless another is named.

mimic deploy mimic/assets/policy_g1_student.onnx --robot simulated --video walk.mp4
mimic deploy policy.onnx --motion walk.npz turn.npz --loop 2
mimic deploy policy.onnx --robot unitree_g1 --interface eth0
mimic deploy check policy.onnx
mimic deploy replay deployments/2026-01-31_12-00-00
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

SIMULATED = "simulated"


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """Run a policy on a robot, from limp to the clip's end, watched by a guard of its own."""

    older: ClassVar[Mapping[str, str]] = {}

    policy: Annotated[Path, tyro.conf.Positional]
    """policy.onnx, or a run directory that has one; or a policy of BeyondMimic, mjlab, holosoma, or
    of any other program with a description."""
    robot: str = SIMULATED
    """Robot name, or a description file (.toml); `simulated` is the policy's own in MuJoCo, one
    that is not simulated here is on `--interface`."""
    interface: str | None = None
    """Network interface of the robot, such as eth0, for DDS; `lo` takes a simulated one there too;
    or the folder, with a slash, of a simulated robot that somebody else has started."""
    domain: int | None = None
    """Domain of DDS: 0 for a robot, as Unitree's are, and 1 for a simulated one unless given."""
    real: bool = False
    """Move a robot that is not simulated here; without it nothing is sent (dry run)."""
    confirm: str | None = None
    """The robot's name, in place of typing it when --real asks for it."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them, played one after the other; by default the clip in
    the policy file, and a walk for the policy that is shipped."""
    describe: Path | None = None
    """A description (.toml) of another program's policy, where that says too little itself, or the
    deploy.yaml of unitree_rl_lab."""
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What a policy without a clip is asked for: forwards, to the left (m/s), turning (rad/s)."""
    stick: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What the wireless remote's sticks ask for besides, at full deflection: the left one forwards
    and to the left (m/s), the right one turning (rad/s)."""
    loop: int = 1
    """How often the clips are played; 0: until the operator stops."""
    library: tuple[Path, ...] = ()
    """Further motions or folders of them, played when they are asked for (keys 1 to 9, `--at`);
    they are numbered after those of `--motion`."""
    at: tuple[str, ...] = ()
    """What to ask for, and how many seconds after tracking has begun: `4:clip:2` (over to clip 2),
    `4:queue:2` (clip 2 afterwards), `6:next`, `6:loop`, `8:hold`, `9:track`, `9:stop`."""
    live: Path | None = None
    """Follow poses that come in while the robot moves, in place of clips: a socket is made here,
    and `mimic stream - --live` sends to it. Without them the robot stands."""
    hold_policy: Path | None = None
    """A policy file that takes over where the robot is to hold: one that stands well, such as
    `mimic/assets/policy_g1_student.onnx`. By default the policy itself holds."""
    hold: float = 3.0
    """Seconds of holding the last frame, after which the deployment ends."""
    seconds: float | None = None
    """Seconds after which the deployment ends in any case."""
    manual: bool = False
    """Wait for keys (s stand, r ready, t track, 1-9 clips, any other stops) or the remote."""
    lock_step: bool = False
    """The simulated robot, the guard and the policy wait for each other: the same every time, and
    nothing is late on a slow computer."""
    pace: float = 1.0
    """Share of real time at which a simulated robot runs, for computers that are too slow."""
    command_hz: float = 500.0
    """Commands to the robot a second."""
    estimate: bool = False
    """Estimate place and velocity of the base from IMU, joints and motor torques, as on a robot
    that does not tell them; the simulated one does not then."""
    gains: float = 1.0
    """Share of all gains, 0 to 1, for a robot that hangs in a gantry."""
    joint_noise: float = 0.0
    """Noise of the simulated robot's joint angles, rad."""
    delay: int = 0
    """Ticks by which the simulated robot's states and commands are late, each."""
    loss: float = 0.0
    """Share of the simulated robot's states and commands that are lost."""
    seed: int = 0
    """Seed of noise and losses."""
    page: bool = False
    """Serve a page for the operator in the browser: mode, tilt, temperatures, latencies, robot and
    reference, a stop button, and buttons for what the keys ask for."""
    port: int | None = None
    """Port of the page; 8080 unless given, 0 takes any that is free."""
    host: str | None = None
    """Address to serve the page at: this machine alone unless given; 0.0.0.0 lets all others look
    and steer, without a password."""
    video: Path | None = None
    """Write this video (.mp4), the reference as a blue ghost."""
    out: Path = Path("deployments")
    """Folder for records of sessions; each has a folder of its own in it."""

    def run(self) -> int:
        """Deploy; 0 where it came to its end, 1 where the robot was made to damp."""
        from mimic.commands.deploying import deploy

        return deploy(self)


@dataclass(frozen=True, kw_only=True)
class CheckDeployment:
    """Climb from the file to a simulated robot with noise, delays and losses: go or no-go."""

    older: ClassVar[Mapping[str, str]] = {}

    policy: Annotated[Path, tyro.conf.Positional]
    """policy.onnx, or a run directory that has one."""
    describe: Path | None = None
    """A description (.toml) of another program's policy, where that says too little itself, or the
    deploy.yaml of unitree_rl_lab."""
    robot: str | None = None
    """Robot name, or a description file (.toml); by default the policy's own."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; by default the clip in the policy file, and a walk
    for the policy that is shipped."""

    def run(self) -> int:
        """0 where every rung is passed, 1 where one is not."""
        import robots
        from mimic.commands.deploying import policy_file
        from mimic.deploy.check import ladder, table
        from motions.robot.dataset import find_motion_files

        policy = policy_file(self.policy, described=self.describe is not None)
        files = [each.path for each in find_motion_files(self.motion)] if self.motion else []
        robot = robots.load(self.robot) if self.robot else None
        rungs = []
        for rung in ladder(policy, files, robot, self.describe):
            rungs.append(rung)
            print(table([replace(rung, name=f"{rung.name:31}")])[0], flush=True)
        passed = sum(rung.go for rung in rungs)
        print(f"{passed} of {len(rungs)} rungs: {'go' if passed == len(rungs) else 'no-go'}")
        return 0 if passed == len(rungs) else 1


@dataclass(frozen=True, kw_only=True)
class ReplaySession:
    """Play a recorded session again, bit by bit, and name the first place that differs."""

    older: ClassVar[Mapping[str, str]] = {}

    session: Annotated[Path, tyro.conf.Positional]
    """Folder of a session."""
    simulate: bool = True
    """Also the simulated robot of a session in lock-step."""

    def run(self) -> int:
        """0 where every bit is the same, 1 where something differs."""
        from mimic.deploy.replay import replay

        found = replay(self.session, simulate=self.simulate)
        if found.left_over:
            print(f"note: the record ends {found.left_over} bytes behind its last whole frame")
        print(
            f"{self.session}: {found.steps} control steps, {found.acted} with an action, "
            f"{found.commands} commands, {found.states} simulated states computed again"
        )
        if found.difference is None:
            print("every bit is the same")
            return 0
        print(f"differs: {found.difference}")
        return 1
