"""The distance of a gait to the nearest window of clips, and the number of different skills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mimic.envs.environment import Environment
from mimic.envs.features import BodyState
from mimic.evaluation.gait import FRAMES, GaitMeter, NearestWindow, spread_of, style_clips
from mimic.evaluation.skills import count_skills, silhouettes
from mimic.tasks import make_env
from mimic_base.errors import MimicError
from robots import Robot
from tests.envs.conftest import sway


@pytest.fixture(scope="module")
def env(tiny: Robot) -> Environment:
    clips = [sway(tiny, fps=50.0, seconds=1.0), sway(tiny, fps=50.0, seconds=0.1, name="short")]
    return make_env("heading", clips, num_envs=2, robot=tiny, engine="mujoco", threads=1)


def put(env: Environment, frame: int, **moved: torch.Tensor) -> None:
    """Both robots in a frame of the first clip, anywhere."""
    library: Any = style_clips(env)
    rows = torch.tensor([frame, frame])
    state = BodyState.of_frames(library, rows)
    start = env.default_state(2)
    given = {
        name: getattr(state, name)
        for name in ("root_pos_w", "root_quat_w", "joint_pos", "root_lin_vel_w", "root_ang_vel_b",
                     "joint_vel")
    }  # fmt: skip
    given = {name: value + moved.get(name, 0.0) for name, value in given.items()}
    env._put(torch.arange(2), replace(start, **given))


def measured(env: Environment, frames: range, **moved: torch.Tensor) -> GaitMeter:
    library: Any = style_clips(env)
    put(env, frames[0], **moved)
    meter = GaitMeter(env, NearestWindow(library), 2)
    for frame in frames[1:]:
        put(env, frame, **moved)
        meter.add(torch.tensor([True, frame < 20]))
    return meter


def test_a_clip_played_back_is_at_no_distance(env: Environment) -> None:
    meter = measured(env, range(5, 40))
    assert meter.steps.tolist() == [40 - 5 - FRAMES + 1, 20 - 5 - FRAMES + 1]
    assert float(meter.total.max() / meter.steps.max()) < 1e-4
    # Neither its place nor its way counts.
    elsewhere = torch.tensor([3.0, -2.0, 0.0])
    meter = measured(env, range(5, 40), root_pos_w=elsewhere)
    assert float(meter.total.max() / meter.steps.max()) < 1e-4


def test_a_shifted_one_is_as_far_as_it_is_shifted(env: Environment) -> None:
    library: Any = style_clips(env)
    found = NearestWindow(library)
    # The short clip has no window; the long one has one for each frame but the first nine.
    frames = int(library.length[0])
    assert len(found.windows) == frames - FRAMES + 1
    features, spread = spread_of(library)
    window = features[7 : 7 + FRAMES]
    # Along one feature, by three of its spreads: no other window is nearer by more.
    shifted = window.clone()
    shifted[:, 0] += 3.0 * spread[0]
    size = features.shape[1]
    exact = 3.0 / size**0.5
    distance = float(found(shifted[None]))
    all_of_them = (shifted[None] / spread).flatten(1) - found.windows
    assert distance == pytest.approx(float(all_of_them.square().mean(-1).sqrt().min()), abs=1e-6)
    assert 0.5 * exact < distance <= exact + 1e-6
    meter = measured(env, range(5, 20), root_pos_w=torch.tensor([0.0, 0.0, 0.4]))
    assert float(meter.total[0] / meter.steps[0]) > 0.5


def test_a_still_clips_distance_is_the_shift_over_the_least_spread(tiny: Robot) -> None:
    still = sway(tiny, fps=50.0, seconds=1.0)
    frozen = replace(
        still,
        **{
            name: np.repeat(getattr(still, name)[:1], still.num_frames, 0)
            for name in still.frame_fields()
        },
    )
    env = make_env("heading", [frozen], num_envs=1, robot=tiny, engine="mujoco", threads=1)
    library: Any = style_clips(env)
    features, spread = spread_of(library)
    torch.testing.assert_close(spread, torch.full_like(spread, 0.05))
    window = features[:FRAMES] + 0.15
    assert float(NearestWindow(library)(window[None])) == pytest.approx(3.0, rel=1e-4)


# skills ------------------------------------------------------------------------------------


def descriptions(centres: int, latents: int, noise: float, repeats: int = 3) -> np.ndarray:
    generator = np.random.default_rng(0)
    where = generator.normal(size=(centres, 12)) * 3.0
    of_latent = where[np.arange(latents) % centres]
    return of_latent[:, None] + noise * generator.normal(size=(latents, repeats, 12))


def test_as_many_skills_as_there_are_groups() -> None:
    found = count_skills(descriptions(5, 30, 0.3))
    assert found.number == 5 and found.sizes == [6] * 5 and found.silhouette > 0.7
    # Latents of one group do the same.
    assert len({found.groups[k] for k in range(0, 30, 5)}) == 1


def test_what_is_not_apart_is_one_skill() -> None:
    assert count_skills(descriptions(1, 30, 1.0)).number == 1
    # Latents that all differ form no groups, but are told from their repetitions.
    line = np.arange(32.0)[:, None, None] + np.zeros((32, 3, 4))
    found = count_skills(line + 0.01 * np.random.default_rng(1).normal(size=line.shape))
    assert found.separation > 100
    scattered = np.random.default_rng(1).normal(size=(32, 1, 40)) + np.zeros((32, 3, 40))
    assert count_skills(scattered).number == 1
    # Groups that an episode leaves as often as it keeps to them are none.
    assert count_skills(descriptions(5, 30, 12.0)).number == 1
    with pytest.raises(MimicError, match="takes at least 8 of them and 2 episodes"):
        count_skills(np.zeros((2, 1, 3)))


def test_silhouettes_worked_out_by_hand() -> None:
    places = np.array([0.0, 1.0, 4.0, 6.0, 20.0])
    apart = np.abs(places[:, None] - places[None])
    found = silhouettes(apart, np.array([0, 0, 1, 1, 2]))
    # 0: a = 1, b = (4 + 6) / 2; 4: a = 2, b = (4 + 3) / 2; alone: 0.
    np.testing.assert_allclose(found[[0, 2, 4]], [(5 - 1) / 5, (3.5 - 2) / 3.5, 0.0])
