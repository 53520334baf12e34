"""``mimic play``: watch a policy track a motion.

mimic play runs/tracking/2026-01-31_12-00-00-walk --video walk.mp4
mimic play policy.onnx --motion walk.npz squat.npz --viewer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from mimic.viewer.gl import MISSING, settle_backend

if TYPE_CHECKING:
    from mimic.learning.learned_model import LearnedModel
    from mimic.viewer.rollout import Rollout
    from mimic.viewer.sources import Clip, Playable


@dataclass(frozen=True, kw_only=True)
class Play:
    """Watch a policy track a motion: its figures, a video, a window."""

    older: ClassVar[Mapping[str, str]] = {"--fps": "--video-fps"}

    policy: Annotated[Path, tyro.conf.Positional]
    """Run directory, policy.onnx, or checkpoint.pt."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; a run knows those it was trained on."""
    motion_scene: bool = True
    """Play in the scene (terrain, objects) that each motion carries."""
    interface: str | None = None
    """Command the policy through this one of the interfaces it was trained for (full, three-point,
    pelvis-path, exbody, velocity); by default the one that its file says."""
    velocity: tuple[float, float, float] | None = None
    """Command this velocity instead of a clip for ten seconds: forwards and to the left (m/s), turn
    to the left (rad/s). Through the interface velocity, unless --interface says another; a policy
    that is commanded a heading is asked for it by its own command."""
    video: Path | None = None
    """Write this video (.mp4), the reference as a blue ghost."""
    picture: Path | None = None
    """Write this picture (.png): moments of the first motion side by side."""
    viewer: bool = False
    """Open a window (needs a screen)."""
    browser: bool = False
    """Command the policy while it plays, on a page in the browser: arrow keys and WASD (there and
    in the terminal), a gamepad, sliders. Only for policies that track no clip: of a heading, of a
    point to reach, of skills."""
    port: int = 8080
    """Port of the page; 0 takes any that is free."""
    host: str = "127.0.0.1"
    """Address to serve at: this machine alone unless told otherwise; 0.0.0.0 lets all others look
    and steer, without a password."""
    seconds: float = 0.0
    """End the page after this long, s; 0 goes on until Ctrl-C or X."""
    size: tuple[int, int] = (960, 540)
    """Width and height of the video, pixels."""
    fps: Annotated[float, tyro.conf.arg(name="video-fps")] = 25.0
    """Frames of video per second; the policy itself runs at its own rate."""
    robot: str | None = None
    """Robot name, or a description file (.toml); by default the one that the policy names."""
    model: Path | None = None
    """Also play it in the model of the robot that this run (or checkpoint) of the world-model
    trainer has learnt; the blue ghost is the model's robot then."""

    def run(self) -> int:
        """Simulate every clip once, without noise, and show what happened."""
        # MuJoCo reads MUJOCO_GL when it is imported, which the modules below do.
        drawing = self.video is not None or self.picture is not None
        if drawing and settle_backend() is None:
            print(MISSING)
        from mimic.viewer.rollout import roll_out
        from mimic.viewer.sources import find_playable
        from mimic.viewer.strips import write_strip
        from mimic.viewer.video import check_picture, check_video, write_rollouts
        from mimic.viewer.window import require_display, show
        from mimic_base.errors import MimicError

        if self.viewer:
            require_display()
        if self.browser:
            from mimic_base.browser_page import check_port, require_viser

            require_viser("mimic play --browser")
            check_port(self.host, self.port)
        if self.video is not None:
            check_video(self.video, self.size, self.fps)
        if self.picture is not None:
            check_picture(self.picture)
        playable = find_playable(
            self.policy, self.motion, self.robot, motion_scene=self.motion_scene,
            interface=self.interface, velocity=self.velocity,
        )  # fmt: skip
        learned = self._model(playable)
        for note in playable.notes:
            print(note)
        if not playable.clips:
            return self._play_live(playable) if self.browser else self._play_task(playable)
        if self.browser:
            raise MimicError(
                "--browser commands policies that track no clip (of the tasks heading, reach, "
                "skills); this one tracks clips, watch it with --video out.mp4"
            )
        rollouts = []
        for clip in playable.clips:
            rollout = roll_out(
                playable.player, clip.reference, playable.robot, clip=clip.name, scene=clip.scene
            )
            print(rollout.summary(), flush=True)
            if learned is not None:
                rollout = _with_model(playable, clip, learned, rollout)
            rollouts.append(rollout)
        if self.video is not None:
            size, fps = self.size, self.fps
            count = write_rollouts(self.video, playable.robot, rollouts, size=size, fps=fps)
            print(f"{self.video}: {count} frames, {size[0]} x {size[1]}, {fps:g} fps")
        if self.picture is not None:
            write_strip(self.picture, playable.robot, rollouts[0])
            print(self.picture)
        if self.viewer:
            show(playable.robot, rollouts)
        if not drawing and not self.viewer:
            print("watch it with --video out.mp4, or --viewer for a window")
        return 0

    def _model(self, playable: Playable) -> LearnedModel | None:
        """The model to play in beside MuJoCo, where one is asked for."""
        if self.model is None:
            return None
        from mimic.learning.learned_model import load_model
        from mimic_base.errors import MimicError

        if not playable.clips:
            raise MimicError("--model shows policies that track clips; this one tracks none")
        return load_model(self.model, playable.robot)

    def _play_task(self, playable: Playable) -> int:
        """Play a policy that tracks no clip in the environment of its task."""
        from mimic.viewer.task_rollout import (
            roll_out_task,
            task_of,
            with_clips_of,
            write_task_picture,
            write_task_video,
        )
        from mimic_base.errors import MimicError

        if self.viewer:
            raise MimicError(
                "--viewer shows policies that track clips; watch this one with --browser or "
                "--video out.mp4"
            )
        task = task_of(playable.config, playable.player, self.policy)
        task = with_clips_of(task, playable.config)
        rollout = roll_out_task(playable.player, task, playable.robot, velocity=playable.velocity)
        print(rollout.summary(), flush=True)
        robot, scene, size, fps = playable.robot, task.scene, self.size, self.fps
        if self.video is not None:
            count = write_task_video(self.video, robot, scene, rollout, size=size, fps=fps)
            print(f"{self.video}: {count} frames, {size[0]} x {size[1]}, {fps:g} fps")
        if self.picture is not None:
            write_task_picture(self.picture, robot, scene, rollout, size=size)
            print(self.picture)
        if self.video is None and self.picture is None:
            print("watch it with --browser or --video out.mp4")
        return 0

    def _play_live(self, playable: Playable) -> int:
        """Play a policy on a page on which it is commanded."""
        from mimic.viewer.live.keys import HELP, Terminal
        from mimic.viewer.live.page import LivePage
        from mimic.viewer.live.session import LivePlay
        from mimic.viewer.task_rollout import task_of, with_clips_of
        from mimic_base.browser_page import address, close_server, open_server, seen_by
        from mimic_base.errors import MimicError

        if self.video is not None or self.picture is not None or self.velocity is not None:
            raise MimicError("--browser goes without --video, --picture and --velocity")
        if not (0.0 <= self.seconds < float("inf")):
            raise MimicError(f"--seconds is a time in s, 0 for ever, got {self.seconds}")
        task = with_clips_of(
            task_of(playable.config, playable.player, self.policy), playable.config
        )
        play = LivePlay(playable.player, task, playable.robot)
        server = open_server(self.host, self.port, "mimic play")
        terminal = Terminal()
        try:
            page = LivePage(server, play, playable.robot)
            print(f"{address(server)}  ({seen_by(self.host)})\n{HELP}", flush=True)

            def each_step(play: LivePlay) -> None:
                for event in terminal.typed():
                    play.say(event)
                page(play)

            with terminal.attached():
                play.run(each_step, self.seconds)
        except KeyboardInterrupt:
            pass
        finally:
            close_server(server)
        print(play.told())
        return 0


def _with_model(playable: Playable, clip: Clip, model: LearnedModel, real: Rollout) -> Rollout:
    """The rollout with the model's robot, which tracks the same clip for itself, as its ghost."""
    from functools import partial

    from mimic.viewer.learned_robot import LearnedRobot, beside, distances, told
    from mimic.viewer.rollout import roll_out

    learned = roll_out(
        playable.player, clip.reference, playable.robot, clip=f"{clip.name}, in the model",
        scene=clip.scene, simulate=partial(LearnedRobot, model=model),
    )  # fmt: skip
    print(learned.summary(), flush=True)
    print(told(distances(playable.robot, real, learned), real.control_dt), flush=True)
    return beside(real, learned)
