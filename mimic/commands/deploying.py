"""What ``mimic deploy`` does once its options are read."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.deploy.dry_run import DryRun
from mimic.deploy.foreign import notes_of, open_policy
from mimic.deploy.gates import check_contract, check_observed
from mimic.deploy.guard_process import GuardConfig
from mimic.deploy.kinematics import Chain
from mimic.deploy.live import LivePlaylist, LiveStream
from mimic.deploy.loop import STAGES, LoopSettings, PilotLoop
from mimic.deploy.messages import RobotIdentity
from mimic.deploy.modes import Mode
from mimic.deploy.operator import HELP, Operator, Timetable
from mimic.deploy.pace import Pace
from mimic.deploy.page.link import PageLink
from mimic.deploy.page.process import PageConfig
from mimic.deploy.page.snapshot import SnapshotRows
from mimic.deploy.page.start import PageHandle, page_process
from mimic.deploy.pilot import Pilot, PilotSettings
from mimic.deploy.recorder import Recorder
from mimic.deploy.replay import DESCRIPTION, HOLD_POLICY, POLICY, RECORD, identity_to
from mimic.deploy.rest import Rest
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import ended, guard_process, short_folder, simulated_robot
from mimic.deploy.setup import (
    DeploySettings,
    command_limits,
    make_pilot,
    make_stander,
    references_of,
)
from mimic.deploy.simulated import Imperfections, SimulationSettings, identity_of, physics_rate
from mimic.deploy.skill import Stander
from mimic.deploy.start import Seen, check_alone, check_seen, confirm, watch
from mimic.deploy.sticks import steering_of
from mimic.deploy.target import Target, as_reached, target_of
from mimic.deploy.wire import booster
from mimic.deploy.wire.codecs import family_of
from mimic.deploy.wire.link import open_robot
from mimic.deploy.wire.network import open_network
from mimic.policy.opener import CONFIG, EXPORTED, find_policy
from mimic.policy.player import PolicyPlayer
from mimic_base.browser_page import DEFAULT_PORT, check_port, require_viser, seen_by
from mimic_base.errors import MimicError, RobotError
from mimic_base.files import check_folder_writable, check_writable
from mimic_base.text import plain
from motions.robot.dataset import find_motion_files

if TYPE_CHECKING:
    from mimic.commands.deploy import Deploy
    from robots import Robot

LATE = 0.05
"""Share of late control steps from which a note says what to do."""
MOST_DELAY = 1000
"""Ticks that a simulated robot's states and commands may be late."""
MOST_COMMANDS = 5000.0
"""Commands to the robot a second."""
NEVER = 1e9
"""rad, a threshold that is not reached."""
LOCALHOST = "127.0.0.1"
MOST_SHOWN = 500
"""Clips that can be chosen on the page, by their names."""


def deploy(options: Deploy) -> int:
    """Deploy on a robot; the exit code."""
    import robots

    target = check_options(options)
    player = player_of(options)
    target = replace(target, robot=target.robot or player.contract.robot.name)
    settings = replace(
        DeploySettings(),
        command_hz=options.command_hz,
        pilot=PilotSettings(loop=options.loop, gains=options.gains),
    )
    if not target.send:
        # A robot that is not told to move does not follow, however well it is.
        apart = replace(settings.thresholds, tracking_error=NEVER)
        settings = replace(settings, thresholds=apart)
    every = settings.every(player.contract.control_dt)
    robot = robots.load(target.robot)
    identity = identity_of(robot)
    if not target.simulated:
        identity = replace(identity, mode_machine=as_reached(identity, target.network))
    check_contract(player.contract, identity, player.path)
    stander = stander_of(options, player, robot, identity, settings)
    steering = steering_of(player, options.stick, options.velocity)
    files = [each.path for each in find_motion_files(options.motion)] if options.motion else []
    clips = references_of(player, files)
    further = [each.path for each in find_motion_files(options.library)] if options.library else []
    library = references_of(player, further) if further else []
    timetable = Timetable.of(options.at, len(clips) + len(library))
    anchor = Chain.of(robot, player.contract.anchor_body, player.contract.joint_names)
    rest = Rest.of(player.contract, robot, [*clips, *library])
    stream, playlist = None, None
    if options.live is not None:
        stream = LiveStream(options.live, robot, time.monotonic)
        playlist = live_playlist(stream, player, robot, rest, settings)
    pilot = make_pilot(
        player, identity, clips, anchor, settings, library=library, rest=rest, playlist=playlist,
        stander=stander, steering=steering,
    )  # fmt: skip
    results: dict[str, Any] | None = None
    with ExitStack() as stack:
        if stream is not None:
            stack.callback(stream.close)
        names = [path.stem for path in [*(files or [Path("the policy's")]), *further]]
        page = None
        if options.page:
            page = start_page(stack, options, target, identity, player, settings, names)
        simulated, config, where = None, None, target.network
        if target.simulated:
            folder = str(stack.enter_context(short_folder()))
            where = where or folder
            config = robot_config(options, target, settings, folder)
            simulated = stack.enter_context(simulated_robot(config))
        check_robot(options, target, where, pilot, settings)
        guard = GuardConfig(
            bus=where,
            identity=identity,
            limits=command_limits(player, identity, settings, holding(pilot)),
            thresholds=settings.thresholds,
            tick=1.0 / settings.command_hz,
            every=every,
            lock_step=options.lock_step,
            send=target.send,
            pace=options.pace,
            estimate=target.robot if options.estimate else "",
        )
        session, recorder = record_in(
            options, player, files, further, pilot, settings, config, guard
        )
        operator = Operator(keys=True, timetable=timetable)
        told = f"a simulated {robot.title}" if target.simulated else identity.name
        told += f" on {target.network}" if target.network else ""
        rate = f"{settings.command_hz:g} commands/s"
        print(f"{player.path} on {told}, {rate if target.send else 'dry run: nothing is sent'}")
        if operator.keys:
            print(HELP)
            print("clips: " + ", ".join(f"{n} {name}" for n, name in enumerate(names, 1)))
        dry = None if target.send else DryRun(identity)
        button = page.guard if page is not None else None
        with guard_process(guard, button) as (socket, process), operator.attached():

            def changed(before: Mode, mode: Mode) -> None:
                why = f": {loop.told or pilot.stop}" if mode == Mode.DAMPING else ""
                print(f"  {mode.name.lower()}{why}", flush=True)
                if mode == Mode.TRACK and simulated is not None:
                    simulated.tell(release=True)

            link = None
            if page is not None:
                rows = SnapshotRows(identity.num_joints, STAGES)
                link = PageLink(page.loop, rows, len(clips) + len(library), why=page.why)
                operator.page = link.events
            loop = PilotLoop(
                pilot,
                socket,
                LoopSettings(
                    seconds=options.seconds,
                    hold_s=options.hold,
                    auto=not options.manual,
                    lock_step=options.lock_step,
                ),
                recorder=recorder,
                on_mode=changed,
                on_report=dry,
                operator=operator,
                pace=Pace(options.pace),
                page=link,
            )
            loop.keep_reference = options.video is not None
            try:
                loop.run()
            finally:
                loop.leave()
                recorder.close()
                if link is not None:
                    link.ended(loop.ended or "with an error")
            if not ended(process, 30.0):
                print("note: the guard has not ended; it goes on damping", file=sys.stderr)
        if simulated is not None:
            results = simulated.end()
    tell(loop, results, session, recorder)
    if stream is not None and playlist is not None:
        print(f"{playlist.latency_line()}; {stream.bad} lines could not be used")
    if dry is not None:
        print(dry.line())
    if options.video is not None and results is not None:
        write_video_of(options.video, player, robot, loop, results)
    return 1 if loop.trip or loop.lost or pilot.stop or (results and results["unsafe"]) else 0


def start_page(
    stack: ExitStack,
    options: Deploy,
    target: Target,
    identity: RobotIdentity,
    player: PolicyPlayer,
    settings: DeploySettings,
    names: list[str],
) -> PageHandle:
    """The operator's page, served from now on, until ``stack`` is left.

    Args:
        names: of the clips.
    """
    host, port = page_address(options)
    config = PageConfig(
        host=host,
        port=port,
        robot=target.robot,
        title=f"mimic deploy {player.path.stem}",
        joint_names=identity.joint_names,
        effort_limit=tuple(map(float, identity.effort_limit)),
        temperature=settings.thresholds.temperature,
        tilt=settings.thresholds.tilt,
        clips=tuple(plain(name, 60) for name in names[:MOST_SHOWN] if options.live is None),
        send=target.send,
        auto=not options.manual,
        lock_step=options.lock_step,
        control_dt=player.contract.control_dt,
        stages=STAGES,
    )
    page = stack.enter_context(page_process(config))
    print(f"page: {page.address} ({seen_by(host)})", flush=True)
    return page


def page_address(options: Deploy) -> tuple[str, int]:
    """Host and port of the page."""
    port = DEFAULT_PORT if options.port is None else options.port
    return options.host or LOCALHOST, port


def player_of(options: Deploy) -> PolicyPlayer:
    """The policy that is named, ours or another program's, of which what is missing is told.

    Raises:
        MimicError: no policy file, or one that says too little of itself.
    """
    path = policy_file(options.policy, described=options.describe is not None)
    player = open_policy(path, options.describe, options.velocity)
    for line in notes_of(player):
        print(line)
    return player


def stander_of(
    options: Deploy,
    player: PolicyPlayer,
    robot: Robot,
    identity: RobotIdentity,
    settings: DeploySettings,
) -> Stander | None:
    """The policy that is to hold; None where it is the policy itself.

    Raises:
        MimicError: no policy file of ours, or one that cannot hold on this robot what is tracked.
    """
    path = options.hold_policy
    if path is None:
        return None
    source = find_policy(path)
    if source.kind != "onnx":
        raise MimicError(f"--hold-policy {path}: only policy files (.onnx) can hold")
    return make_stander(PolicyPlayer(source.file), player, robot, identity, settings)


def holding(pilot: Pilot) -> PolicyPlayer | None:
    """The policy of its own that holds, if there is one."""
    return None if pilot.stander is None else pilot.stander.skill.player


def policy_file(named: Path, *, described: bool = False) -> Path:
    """The policy file that is meant: itself, or that of a run's folder.

    Args:
        described: whether another file says what it is, so that it need not be an ONNX file.

    Raises:
        MimicError: nothing there, a folder without one, or a file that is no policy file.
    """
    if not named.exists():
        raise MimicError(
            f"policy '{named}' does not exist; name a policy.onnx, or the folder of a run that was "
            "exported"
        )
    if named.is_dir():
        if (named / EXPORTED).is_file():
            return named / EXPORTED
        if not (named / CONFIG).is_file() and not (named / "checkpoints").is_dir():
            raise MimicError(
                f"{named}: a folder without {EXPORTED}, and no run's; name a policy file, or a "
                "run's folder"
            )
        raise MimicError(
            f"{named}: this run has no {EXPORTED} yet; make it with mimic export {named}"
        )
    if not described and find_policy(named).kind != "onnx":
        raise MimicError(
            f"{named}: only policy files (.onnx) are deployed; make one with "
            f"mimic export {named}, or say what another program's is with --describe"
        )
    return named


def live_playlist(
    stream: LiveStream, player: PolicyPlayer, robot: Robot, rest: Rest, settings: DeploySettings
) -> LivePlaylist:
    """A playlist that follows a stream and stands without one."""
    contract = player.contract

    def frames(seconds: float) -> int:
        return max(1, round(seconds / contract.control_dt))

    return LivePlaylist(
        stream.newest,
        time.monotonic,
        robot,
        contract,
        rest.pose,
        body=contract.body_names.index(contract.anchor_body),
        blend=frames(settings.pilot.blend_s),
        settle=frames(settings.pilot.settle_s),
        control_dt=contract.control_dt,
        rest=rest,
    )


def robot_config(
    options: Deploy, target: Target, settings: DeploySettings, folder: str
) -> RobotProcessConfig:
    """The simulated robot that the options ask for; ``folder`` is for this deployment alone."""
    tick = 1.0 / settings.command_hz
    return RobotProcessConfig(
        bus=folder,
        network=target.network,
        robot=target.robot,
        lock_step=options.lock_step,
        settings=SimulationSettings(
            tick=tick, physics_hz=physics_rate(tick, 500.0), odometry=not options.estimate
        ),
        imperfections=Imperfections(
            joint_pos_noise=options.joint_noise,
            state_delay=options.delay,
            command_delay=options.delay,
            state_loss=options.loss,
            command_loss=options.loss,
            seed=options.seed,
        ),
        rules=settings.limits,
        pace=options.pace,
        results=str(Path(folder) / "results.npz"),
    )


def check_robot(
    options: Deploy,
    target: Target,
    where: str,
    pilot: Pilot,
    settings: DeploySettings,
) -> None:
    """The gates of a robot that is there: alone, well, enough of it measured, and meant.

    Raises:
        MimicError, RobotError: the first gate that refuses; nothing was sent.
    """
    identity, stander = pilot.identity, holding(pilot)
    tick, pace = 1.0 / settings.command_hz, Pace(options.pace)

    def seen_alone() -> Seen:
        if not where.startswith(booster.PREFIX):
            check_alone(open_network(where, tick, family_of(identity.name)))
        return watch(open_robot(where, identity, pace.now, tick=tick, send=False), pace)

    thresholds, waits = settings.thresholds, options.lock_step
    if where.startswith(booster.PREFIX):
        print(booster.NOT_KNOWN, file=sys.stderr)
    seen = seen_alone()
    check_seen(seen, identity, thresholds, waits=waits or target.simulated)
    known = options.estimate or seen.state.odometry is not None
    for policy in (pilot.player, stander):
        if policy is not None:
            check_observed(policy.contract, odometry=known)
    if not target.simulated and target.send:
        confirm(identity.name, where, options.confirm)
        # It took a while to type that.
        check_seen(seen_alone(), identity, thresholds, waits=waits)


def check_options(options: Deploy) -> Target:
    """The robot that is meant; refuses what cannot be before anything is computed.

    Raises:
        MimicError, RobotError: numbers or names that make no sense, or contradict each other.
    """
    target = target_of(
        options.robot,
        options.interface,
        domain=options.domain,
        real=options.real,
        confirm=options.confirm,
    )
    for name in ("hold", "seconds"):
        value = getattr(options, name)
        if value is not None and not (np.isfinite(value) and value >= 0):
            raise MimicError(f"--{name} must not be negative (found {value})")
    if options.live is not None and (options.lock_step or options.pace != 1.0):
        raise MimicError("--live runs by the clock; leave out --lock-step and --pace")
    if options.delay < 0:
        raise MimicError(f"--delay must not be negative (found {options.delay})")
    if options.delay > MOST_DELAY:
        raise MimicError(f"--delay must be at most {MOST_DELAY} ticks (found {options.delay})")
    if not (np.isfinite(options.command_hz) and options.command_hz > 0):
        raise MimicError(f"--command-hz must be positive (found {options.command_hz:g})")
    if options.command_hz > MOST_COMMANDS:
        raise MimicError(
            f"--command-hz must be at most {MOST_COMMANDS:g} (found {options.command_hz:g})"
        )
    if not (np.isfinite(options.joint_noise) and options.joint_noise >= 0):
        raise MimicError(f"--joint-noise must not be negative (found {options.joint_noise:g})")
    Pace(options.pace)
    if options.page:
        require_viser("the operator's page")
        check_port(*page_address(options))
    elif options.port is not None or options.host is not None:
        name = "host" if options.port is None else "port"
        raise MimicError(f"--{name} is for the operator's page; add --page, or leave it out")
    if not target.simulated:
        check_not_simulated(options, target)
    if options.video is not None:
        from mimic.viewer.video import FPS, SIZE, check_video

        check_video(options.video, SIZE, FPS)
        check_writable(options.video)
    check_folder_writable(options.out)
    return target


def check_not_simulated(options: Deploy, target: Target) -> None:
    """Refuse options that only a simulated robot of our own can follow.

    Raises:
        RobotError: the first one.
    """
    for name in ("joint_noise", "delay", "loss", "video"):
        if getattr(options, name):
            raise RobotError(
                f"--{name.replace('_', '-')} is for a robot that is simulated here (--robot "
                "simulated)"
            )
    if not target.loopback and (options.pace != 1.0 or options.lock_step):
        raise RobotError(
            f"--{'lock-step' if options.lock_step else 'pace'}: the time of the robot on "
            f"{options.interface} cannot be slowed down; leave it out"
        )
    if options.lock_step and not target.send:
        raise RobotError(
            "--lock-step waits for commands, and a dry run sends none; leave one of them out"
        )


def record_in(
    options: Deploy,
    player: PolicyPlayer,
    files: list[Path],
    further: list[Path],
    pilot: Pilot,
    settings: DeploySettings,
    config: RobotProcessConfig | None,
    guard: GuardConfig,
) -> tuple[Path, Recorder]:
    """A folder for the session, with what a replay needs, and the recorder in it."""
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, number = options.out / name, 1
    while folder.exists():
        number += 1
        folder = options.out / f"{name}-{number}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise MimicError(
            f"--out {options.out}: the session's folder cannot be made there "
            f"({error.strerror}); name a folder that can be written"
        ) from error
    shutil.copyfile(player.path, folder / POLICY)
    from mimic.deploy.setup import SHIPPED_CLIP

    shipped = not files and player.contract.clip_inside is None
    kept = []
    for index, path in enumerate([SHIPPED_CLIP] if shipped else files):
        kept.append(f"clip_{index}{path.suffix}")
        shutil.copyfile(path, folder / kept[-1])
    also = []
    for index, path in enumerate(further):
        also.append(f"library_{index}{path.suffix}")
        shutil.copyfile(path, folder / also[-1])
    described = ""
    if options.describe is not None:
        # A deploy.yaml is known by its ending.
        described = Path(DESCRIPTION).with_suffix(options.describe.suffix.lower()).name
        shutil.copyfile(options.describe, folder / described)
    stander = holding(pilot)
    if stander is not None:
        shutil.copyfile(stander.path, folder / HOLD_POLICY)
    header: dict[str, Any] = {
        "velocity": list(options.velocity),
        "stick": list(options.stick),
        "describe": described,
        "live": options.live is not None,
        "joints": pilot.identity.num_joints,
        "observation": pilot.observation_size,
        "hold_policy": stander is not None,
        "policy": str(player.path.name),
        "policy_sha256": hashlib.sha256(player.path.read_bytes()).hexdigest(),
        "motions": kept,
        "library": also,
        "rests": True,
        "identity": identity_to(pilot.identity),
        "settings": asdict(settings),
        "lock_step": options.lock_step,
        "every": guard.every,
        "pace": options.pace,
        "estimate": guard.estimate,
        "robot_process": config and {**asdict(config), "bus": "", "network": "", "results": ""},
    }
    return folder, Recorder(folder / RECORD, header)


def tell(
    loop: PilotLoop, results: dict[str, Any] | None, session: Path, recorder: Recorder
) -> None:
    """What came of it, for the console; ``results`` are what a robot simulated here has counted."""
    print(f"ended: {loop.ended}")
    if results is not None:
        unsafe = f"{results['unsafe']} of them outside the limits"
        if results["unsafe"]:
            unsafe += f" ({results['first']})"
        print(
            f"the robot got {results['commands']} commands, {unsafe}, {results['wrong']} with a "
            f"wrong checksum, {results['refused']} for another robot"
        )
    if not loop.settings.lock_step:
        print("\n".join(loop.times.lines()))
        steps = max(1, sum(count for name, count, *_ in loop.times.table() if name == "step"))
        late = results["late"] if results else 0
        if loop.deadlines.missed > LATE * steps or late:
            slower = "try --pace 0.2 or --lock-step" if results else "end what else it does"
            print(
                f"note: {loop.deadlines.missed} of {steps} control steps were late, and the robot "
                f"{late} times; on a slow computer {slower}"
            )
    if recorder.failed:
        print(f"note: the record ends early ({recorder.failed})", file=sys.stderr)
    print(f"{session}: play it again with mimic deploy replay {session}")


def write_video_of(
    path: Path, player: PolicyPlayer, robot: Robot, loop: PilotLoop, results: dict[str, Any]
) -> None:
    """The robot's trajectory with its reference as a ghost."""
    from mimic.viewer.gl import MISSING, settle_backend

    if settle_backend() is None:
        print(MISSING)
    from mimic.sim.states import States
    from mimic.viewer.rollout import Rollout
    from mimic.viewer.video import FPS, SIZE, write_rollouts

    contract = player.contract
    states = States.of(results["qpos"])
    if not len(states) or not loop.kept:
        raise MimicError(f"{path}: the deployment ended before there was anything to show")
    times = np.array([at for at, _ in loop.kept])
    at = np.clip(np.searchsorted(times, results["time"], "right") - 1, 0, len(times) - 1)
    rows = np.array([row for _, row in loop.kept])[at]
    reference = States(root_pos_w=rows[:, :3], root_quat_w=rows[:, 3:7], joint_pos=rows[:, 7:])
    keys = [robot.body_names.index(name) for name in contract.body_names]
    places = [
        robot.body_poses(each.root_pos_w, each.root_quat_w, each.joint_pos)[0][:, keys]
        for each in (states, reference)
    ]
    empty = np.zeros((len(states), 0))
    rollout = Rollout(
        robot=robot.name,
        clip=f"{player.path.stem} deployed",
        control_dt=contract.control_dt,
        states=states,
        reference=reference,
        observations=empty,
        actions=empty,
        torques=empty,
        key_body_error=np.linalg.norm(places[0] - places[1], axis=-1).mean(-1),
        key_body_error_anchor=np.zeros(len(states)),
        joint_error=np.abs(states.joint_pos - reference.joint_pos).mean(-1),
        foot_contact=np.zeros((len(states), 2), bool),
        planned_s=(len(states) - 1) * contract.control_dt,
    )
    count = write_rollouts(path, robot, [rollout], size=SIZE, fps=FPS)
    print(f"{path}: {count} frames, {SIZE[0]} x {SIZE[1]}, {FPS:g} fps")
