"""A state beside the one that a robot is in."""

from __future__ import annotations

import torch

from mimic.sim.engine import Engine


def displace(engine: Engine, num_joints: int) -> None:
    """Put every robot of an engine elsewhere: base, orientation, joints and all velocities differ
    from what they were, by the same amounts in each call."""
    qpos, qvel = engine.qpos.clone(), engine.qvel.clone()
    device = qpos.device
    generator = torch.Generator(device=device).manual_seed(0)
    joints = slice(7, 7 + num_joints)
    shape = qpos[:, joints].shape
    qpos[:, joints] += 0.3 * torch.rand(shape, generator=generator, device=device)
    qpos[:, :3] += torch.tensor([0.2, 0.1, 0.05], device=device)
    turned = qpos[:, 3:7] + torch.tensor([0.0, 0.2, 0.15, 0.25], device=device)
    qpos[:, 3:7] = turned / turned.norm(dim=-1, keepdim=True)
    engine.reset(torch.arange(len(qpos), device=device), qpos, qvel + 0.5)
