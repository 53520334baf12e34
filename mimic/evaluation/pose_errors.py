"""Errors of body positions as the literature defines them: pure functions of arrays.

``pos`` [N, B, 3] are where N robots have their B bodies, ``ref`` [N, B, 3] where their references
have them, both in the world, m. Every error is a mean over the bodies, [N], m.
"""

from __future__ import annotations

import torch


def mean_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[N] mean over bodies of the distance between vectors [N, B, 3]."""
    return (a - b).square().sum(-1).sqrt().mean(-1)


def max_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[N] largest distance of a body between vectors [N, B, 3]."""
    return (a - b).square().sum(-1).sqrt().amax(-1)


def mean_absolute(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[N] mean over joints of the absolute difference of [N, J]."""
    return (a - b).abs().mean(-1)


def global_error(pos: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
    """g-MPJPE: ``mean_b |p_b - r_b|``, [N]."""
    return mean_distance(pos, ref)


def local_error(pos: torch.Tensor, ref: torch.Tensor, root: int = 0) -> torch.Tensor:
    """l-MPJPE: ``mean_b |(p_b - p_root) - (r_b - r_root)|``, [N]; rotations are not forgiven.

    Args:
        root: place of the root body, which both are moved to.
    """
    return mean_distance(pos - pos[:, root : root + 1], ref - ref[:, root : root + 1])


def procrustes(pos: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
    """``pos`` [N, B, 3] moved, turned and scaled on ``ref`` so that the squares are least.

    ``s R (p - mean p) + mean r`` with ``U S V^T = sum_b (p_b - mean p) (r_b - mean r)^T``,
    ``R = V D U^T``, ``s = tr(S D) / sum_b |p_b - mean p|^2``; ``D = diag(1, 1, det(V U^T))`` keeps
    reflections out (Umeyama 1991). In double precision.
    """
    p, r = pos.double(), ref.double()
    centre = r.mean(-2, keepdim=True)
    p, r = p - p.mean(-2, keepdim=True), r - centre
    u, s, vt = torch.linalg.svd(p.transpose(-1, -2) @ r)
    sign = torch.linalg.det(vt.transpose(-1, -2) @ u.transpose(-1, -2)).sign()
    d = torch.ones_like(s)
    d[..., -1] = torch.where(sign == 0, torch.ones_like(sign), sign)
    turn = vt.transpose(-1, -2) @ (d[..., None] * u.transpose(-1, -2))
    size = p.square().sum((-1, -2)).clamp_min(1e-12)
    scale = (s * d).sum(-1) / size
    return scale[..., None, None] * (p @ turn.transpose(-1, -2)) + centre


def aligned_error(pos: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
    """PA-MPJPE: the mean distance that is left after ``procrustes``, [N]."""
    return mean_distance(procrustes(pos, ref), ref.double()).to(pos.dtype)


def velocity_error(pos: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
    """``mean_b |(p_b(t) - p_b(t-1)) - (r_b(t) - r_b(t-1))|``, [N] m a frame.

    Args:
        pos, ref: [2, N, B, 3] of the last two frames, the newest last.
    """
    return mean_distance(pos[1] - pos[0], ref[1] - ref[0])


def acceleration_error(pos: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
    """``mean_b |a_b - a_b,ref|`` with ``a = p(t) - 2 p(t-1) + p(t-2)``, [N] m a frame squared.

    Args:
        pos, ref: [3, N, B, 3] of the last three frames, the newest last.
    """
    return mean_distance(pos[2] - 2 * pos[1] + pos[0], ref[2] - 2 * ref[1] + ref[0])
