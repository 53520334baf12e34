"""The literature's errors against cases computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mimic.evaluation.measures import roll_pitch_yaw
from mimic.evaluation.pose_errors import (
    acceleration_error,
    aligned_error,
    global_error,
    local_error,
    max_distance,
    procrustes,
    velocity_error,
)
from mimic_base.rotations_torch import quat_from_euler_xyz, quat_rotate

SQUARE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]]])


def test_global_and_local_error() -> None:
    moved = SQUARE + torch.tensor([3.0, 4.0, 0.0])
    assert global_error(moved, SQUARE).tolist() == [5.0]
    assert local_error(moved, SQUARE).tolist() == [0.0]
    bent = SQUARE.clone()
    bent[0, 2] += torch.tensor([0.0, 0.0, 0.4])
    assert global_error(bent, SQUARE).tolist() == pytest.approx([0.1])
    assert max_distance(bent, SQUARE).tolist() == pytest.approx([0.4])
    # The root alone is off: seen from it, the three others are.
    root = SQUARE.clone()
    root[0, 0, 2] -= 0.2
    assert global_error(root, SQUARE).tolist() == pytest.approx([0.05])
    assert local_error(root, SQUARE).tolist() == pytest.approx([0.15])
    assert local_error(root, SQUARE, root=1).tolist() == pytest.approx([0.05])


def test_a_turn_is_not_forgiven_by_the_local_error() -> None:
    half_turn = SQUARE * torch.tensor([-1.0, -1.0, 1.0])
    # Distances 0, 2, 2 sqrt 2, 2.
    assert local_error(half_turn, SQUARE).tolist() == pytest.approx([(4 + 2 * math.sqrt(2)) / 4])
    assert aligned_error(half_turn, SQUARE).item() == pytest.approx(0.0, abs=1e-6)


def test_aligned_error_forgives_similarities_only() -> None:
    generator = torch.Generator().manual_seed(0)
    ref = torch.rand(16, 14, 3, generator=generator)
    quat = quat_from_euler_xyz(6.0 * torch.rand(16, 3, generator=generator))
    pos = 1.7 * quat_rotate(quat[:, None], ref) + torch.rand(16, 1, 3, generator=generator)
    assert aligned_error(pos, ref).max().item() < 1e-6
    assert (procrustes(pos, ref) - ref).abs().max().item() < 1e-6
    assert global_error(pos, ref).min().item() > 0.1
    # A mirror image is no rotation.
    mirrored = ref * torch.tensor([1.0, -1.0, 1.0])
    assert aligned_error(mirrored, ref).min().item() > 0.05
    # And it does not depend on where, how turned and how large the whole is.
    other = ref + 0.05 * torch.randn(16, 14, 3, generator=generator)
    turned = 0.3 * quat_rotate(quat[:, None], other) + 2.0
    again, once = aligned_error(turned, ref).tolist(), aligned_error(other, ref).tolist()
    assert again == pytest.approx(once, abs=1e-5)


def test_aligned_error_by_hand() -> None:
    # Two points 1 apart against two points 2 apart, and a third in the middle that is off by 3 d
    # across: after centring, the best turn is none and the scale tr(S D) / |p|^2.
    ref = torch.tensor([[[-1.0, 0, 0], [1, 0, 0], [0, 0, 0]]])
    pos = torch.tensor([[[-0.5, 0, 0], [0.5, 0, 0], [0, 0.3, 0]]])
    # Centred: (-.5, -.1), (.5, -.1), (0, .2); |p|^2 = .56; p.r = 1, so s = 1 / .56.
    s = 1 / 0.56
    ends, middle = math.hypot(1 - 0.5 * s, 0.1 * s), 0.2 * s
    assert aligned_error(pos, ref).item() == pytest.approx((2 * ends + middle) / 3, abs=1e-6)


def test_points_in_one_place_give_a_number() -> None:
    assert torch.isfinite(aligned_error(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3))).all()


def test_velocity_and_acceleration_errors() -> None:
    ref = torch.zeros(3, 1, 2, 3)
    pos = torch.zeros(3, 1, 2, 3)
    pos[:, 0, 0, 0] = torch.tensor([0.0, 0.1, 0.4])  # speeds 0.1, 0.3 a frame
    pos[:, 0, 1, 2] = torch.tensor([0.0, 0.2, 0.4])  # speed 0.2, no acceleration
    assert velocity_error(pos[-2:], ref[-2:]).tolist() == pytest.approx([(0.3 + 0.2) / 2])
    assert acceleration_error(pos, ref).tolist() == pytest.approx([0.1])
    assert velocity_error(pos[-2:], pos[-2:] + 5.0).item() == pytest.approx(0.0, abs=1e-6)


def test_angles_of_a_rotation() -> None:
    wanted = torch.tensor([[0.3, -0.4, 2.5], [-1.0, 0.2, 0.0]])
    found = roll_pitch_yaw(quat_from_euler_xyz(wanted))
    assert found.flatten().tolist() == pytest.approx(wanted.flatten().tolist(), abs=1e-5)
