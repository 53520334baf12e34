"""How much of a clip's way a policy goes, over many noisy episodes.

    python scripts/way_covered.py POLICY --motion clips/ --episodes 20

A tracker that steps in place can finish every episode. For each clip, over its whole length (noisy
starts, deterministic policy, `noisy-start`'s environment): the farthest that the anchor gets from
where it began, of the reference and of the robot (mean over episodes), the latter along the
direction of the reference's farthest point; and the share of the way, over windows of a second,

    sum_w d_robot(w) . d_reference(w) / sum_w |d_reference(w)|^2,

which counts ways back too. Episodes are played to the end of the clip, fallen or not; how many
finish is what `mimic evaluate` tells.
"""

from __future__ import annotations

import argparse
import json

import torch

from mimic.envs.commands.motion import motion_command
from mimic.evaluation.evaluate import make_evaluation_env
from mimic.evaluation.policies import load, named_task, robot_of
from mimic.evaluation.protocols import get_protocol


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("policy")
    parser.add_argument("--motion", nargs="+", required=True, help="robot motions, or folders")
    parser.add_argument("--episodes", type=int, default=20, help="of each clip")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    policy = load(args.policy)
    protocol = get_protocol("noisy-start", episodes=args.episodes)
    task, _ = named_task(policy)
    env = make_evaluation_env(
        task, args.motion, protocol, robot=robot_of(policy), seed=args.seed, threads=1
    )
    command = motion_command(env)
    library = command.library
    clip = torch.arange(library.num_clips).repeat_interleave(args.episodes)
    everyone = torch.arange(env.num_envs)
    with torch.no_grad():
        command.restart(everyone, clip, torch.zeros_like(clip))
        obs = env.observe()["actor"]
        robot, reference = [], []
        for _ in range(int(library.length.max()) - 1):
            robot.append(command.robot_anchor_pos_w[:, :2].clone())
            reference.append(command.anchor_pos_w[:, :2].clone())
            obs = env.step(policy.act(obs))[0]["actor"]
    ours, theirs = torch.stack(robot), torch.stack(reference)
    second = round(1.0 / env.control_dt)
    for index, name in enumerate(library.names):
        steps = int(library.length[index]) - 1
        a, b = ours[:steps, clip == index], theirs[:steps, clip == index]
        out = b - b[:1]
        farthest = out.norm(dim=-1)[:, 0].argmax()
        direction = out[farthest] / out[farthest].norm(dim=-1, keepdim=True)
        along = ((a - a[:1]) * direction).sum(-1).amax(0)
        marks = torch.arange(0, steps, second)
        da, db = a[marks].diff(dim=0), b[marks].diff(dim=0)
        share = (da * db).sum((0, 2)) / db.square().sum((0, 2))
        row = {
            "clip": name,
            "farthest_reference_m": float(out[farthest].norm(dim=-1).mean()),
            "farthest_m": float(along.mean()),
            "farthest_sd_m": float(along.std()),
            "share_of_way": float(share.mean()),
        }
        print(json.dumps({k: v if isinstance(v, str) else round(v, 3) for k, v in row.items()}))


if __name__ == "__main__":
    main()
