"""Watch a policy track a motion.

python play.py runs/tracking/2026-01-31_12-00-00-walk --video walk.mp4
python play.py policy.onnx --motion walk.npz squat.npz --viewer
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mimic.viewer.gl import MISSING, settle_backend
from mimic_base.command_line import exit_on_user_error


@dataclass(frozen=True, kw_only=True)
class PlayArguments:
    """Watch a policy track a motion: its figures, a video, a window."""

    policy: Annotated[Path, tyro.conf.Positional]
    """Run directory, policy.onnx, or checkpoint.pt."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; a run knows those it was trained on."""
    video: Path | None = None
    """Write this video (.mp4), the reference as a blue ghost."""
    picture: Path | None = None
    """Write this picture (.png): moments of the first motion side by side."""
    viewer: bool = False
    """Open a window (needs a screen)."""
    size: tuple[int, int] = (960, 540)
    """Width and height of the video, pixels."""
    fps: float = 25.0
    """Frames of video per second; the policy itself runs at its own rate."""
    robot: str | None = None
    """Robot name or description file, when it is not the one the policy names."""


def play(args: PlayArguments) -> int:
    """Simulate every clip once, without noise, and show what happened."""
    # MuJoCo reads MUJOCO_GL when it is imported, which the modules below do.
    drawing = args.video is not None or args.picture is not None
    if drawing and settle_backend() is None:
        print(MISSING)
    from mimic.viewer.rollout import roll_out
    from mimic.viewer.sources import find_playable
    from mimic.viewer.strips import write_strip
    from mimic.viewer.video import check_picture, check_video, write_rollouts
    from mimic.viewer.window import require_display, show

    if args.viewer:
        require_display()
    if args.video is not None:
        check_video(args.video, args.size, args.fps)
    if args.picture is not None:
        check_picture(args.picture)
    playable = find_playable(args.policy, args.motion, args.robot)
    for note in playable.notes:
        print(note)
    rollouts = []
    for clip in playable.clips:
        rollout = roll_out(playable.player, clip.reference, playable.robot, clip=clip.name)
        rollouts.append(rollout)
        print(rollout.summary(), flush=True)
    if args.video is not None:
        count = write_rollouts(args.video, playable.robot, rollouts, size=args.size, fps=args.fps)
        print(f"{args.video}: {count} frames, {args.size[0]} x {args.size[1]}, {args.fps:g} fps")
    if args.picture is not None:
        write_strip(args.picture, playable.robot, rollouts[0])
        print(args.picture)
    if args.viewer:
        show(playable.robot, rollouts)
    if not drawing and not args.viewer:
        print("watch it with --video out.mp4, or --viewer for a window")
    return 0


def main() -> int:
    return play(tyro.cli(PlayArguments, description=__doc__))


if __name__ == "__main__":
    exit_on_user_error(main)
