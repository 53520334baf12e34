"""Find legs, arms, trunk and the joints that matter in a humanoid model."""

from __future__ import annotations

import mujoco
import numpy as np

from mimic_base.errors import RobotError
from robots.derive.anatomy import (
    Anatomy,
    Array,
    Guess,
    Limb,
    children,
    hinges,
    subtree,
    world_axis,
)
from robots.derive.geometry import body_points
from robots.derive.legs import find_leg, first_hinge, fixed_feet, leg_guesses, make_limb
from robots.derive.named import by_name
from robots.derive.pairing import pair_bodies

ELBOW = 0.42
"""Where along arm and hand the elbow is looked for; past the middle if the hand is missing."""


def find_anatomy(
    model: mujoco.MjModel, what: str, points: dict[int, Array] | None = None
) -> Anatomy:
    """Derive the anatomy of a floating humanoid that faces +x with z up at its zero pose.

    Args:
        what: names the model in errors. points: those of `body_points`, if they are known.

    Raises:
        RobotError: no two legs of three hinges or more, no arms, or it is not upright.
    """
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    if not np.isfinite(data.xpos).all():
        raise RobotError(f"{what}: positions at the zero pose are not finite; look for nan in it")
    points = body_points(model, data) if points is None else points
    every = np.concatenate([data.xpos[1:], *points.values()])
    size = float(np.ptp(every[:, 2]))
    if size < 0.05:
        raise RobotError(f"{what}: not a humanoid: only {size:.3f} m high at the zero pose")
    data.xpos[:, 1] -= data.xpos[1, 1]
    partner, sides = pair_bodies(model, data, 1, size)
    limbs = _limbs(model, data, partner)
    if not limbs:
        raise RobotError(
            f"{what}: no left and right limbs: nothing on one side of the middle plane (y = 0, the "
            "robot facing +x) mirrors the other side"
        )
    lowest = {a: _lowest(model, data, points, a) for a, _ in limbs}
    ranked = sorted(limbs, key=lambda pair: lowest[pair[0]])
    leg, middle_z, weight_z = ranked[0], float(data.xpos[1, 2]), float(data.subtree_com[1][2])
    # The root's frame may lie on the floor; legs begin below the centre of mass, arms above it.
    if float(data.xpos[leg[0]][2]) < weight_z + 0.05 * size:
        middle_z = max(middle_z, weight_z)
    if lowest[leg[0]] > middle_z - 0.2 * size or _depth(model, leg[0]) < 3:
        raise RobotError(
            f"{what}: no legs: no pair of limbs with three hinges or more reaches below the root "
            f"'{model.body(1).name}' at the zero pose"
        )
    rest = [pair for pair in ranked[1:] if _depth(model, pair[0]) >= 2]
    _check_two_legs(model, data, lowest, leg, rest, what)
    feet = fixed_feet(model, data, leg)
    if feet:
        points = {**points, **body_points(model, data, feet)}
    left_leg = find_leg(model, data, points, leg[0], what)
    if not rest:
        raise RobotError(
            f"{what}: no arms: no second pair of limbs with two hinges or more; a human's motion "
            "needs shoulders and elbows to go to"
        )
    arm = max(rest, key=lambda pair: float(model.body_subtreemass[pair[0]]))
    left_arm, elbow = _arm(model, data, points, arm[0])
    arms = (left_arm, _mirrored(model, left_arm, partner, data, what))
    legs = (left_leg, _mirrored(model, left_leg, partner, data, what))
    guesses = {"sides": sides, **elbow, **leg_guesses(model, data, left_leg, lowest, ranked)}
    return Anatomy(
        model=model,
        data=data,
        partner=partner,
        root=1,
        pelvis=_middle_above(model, partner, leg[0]),
        chest=_middle_above(model, partner, arm[0]),
        legs=legs,
        arms=arms,
        guesses=guesses,
        points=points,
    )


def _check_two_legs(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    lowest: dict[int, float],
    leg: tuple[int, int],
    rest: list[tuple[int, int]],
    what: str,
) -> None:
    """Refuse a model whose next pair of limbs, the heaviest, stands on the ground as well."""
    if not rest:
        return
    arm = max(rest, key=lambda pair: float(model.body_subtreemass[pair[0]]))
    first = first_hinge(model, leg[0])
    height = float(data.xpos[leg[0] if first is None else first][2]) - lowest[leg[0]]
    if lowest[arm[0]] - lowest[leg[0]] < 0.15 * height:
        raise RobotError(
            f"{what}: four legs and no arms: the limbs that begin with '{model.body(arm[0]).name}' "
            f"reach as low as those that begin with '{model.body(leg[0]).name}'; a human's motion "
            "needs two legs and two arms"
        )


def _limbs(
    model: mujoco.MjModel, data: mujoco.MjData, partner: dict[int, int]
) -> list[tuple[int, int]]:
    """(left, right) first bodies of limbs: pairs that hang on a body of the middle."""
    found = []
    for a, b in partner.items():
        parent = int(model.body_parentid[a])
        if a != b and partner.get(parent, -1) == parent and first_hinge(model, a) is not None:
            left = a if data.subtree_com[a][1] > data.subtree_com[b][1] else b
            if left == a:
                found.append((a, b))
    return found


def _depth(model: mujoco.MjModel, body: int) -> int:
    """Most hinges on a way down from `body`."""
    below = [_depth(model, child) for child in children(model, body)]
    return len(hinges(model, body)) + max(below, default=0)


def _lowest(
    model: mujoco.MjModel, data: mujoco.MjData, points: dict[int, Array], body: int
) -> float:
    heights = [float(data.xpos[b][2]) for b in subtree(model, body)]
    heights += [float(points[b][:, 2].min()) for b in subtree(model, body) if b in points]
    return min(heights)


def _middle_above(model: mujoco.MjModel, partner: dict[int, int], body: int) -> int:
    while partner.get(body) != body:
        body = int(model.body_parentid[body])
    return body


def _arm(
    model: mujoco.MjModel, data: mujoco.MjData, points: dict[int, Array], start: int
) -> tuple[Limb, dict[str, Guess]]:
    """The left arm: down to where it branches into fingers, or to its end."""
    way = [start]
    while True:
        below = [b for b in children(model, way[-1]) if first_hinge(model, b) is not None]
        if len(below) != 1:
            break
        way.append(below[0])
    moving = [b for b in way if hinges(model, b)]
    hand = moving[-1]
    origin = data.xpos[moving[0]]
    cloud = [points[b] for b in subtree(model, moving[0]) if b in points]
    tip = data.xpos[hand].copy()
    assumed = ""
    if not any(b in points for b in subtree(model, hand)):
        tip, assumed = _assumed_tip(model, data, moving)
    if cloud:
        every = np.concatenate(cloud)
        distance = np.linalg.norm(every - origin, axis=1)
        far = every[distance >= 0.98 * distance.max()].mean(axis=0)
        if np.linalg.norm(far - origin) > np.linalg.norm(tip - origin):
            tip = far
    best, elbow, share = -np.inf, -1, 0.0
    scores: dict[int, float] = {}
    lengths = _along(data, moving, tip)
    for body, part in zip(moving, lengths, strict=True):
        for joint in hinges(model, body):
            axis = world_axis(data, model, joint)
            # Neither the twist of the upper arm nor that of the forearm is the elbow.
            cross = min(
                _across(axis, data.xpos[body] - origin), _across(axis, tip - data.xpos[body])
            )
            score = cross - 2.0 * abs(part - ELBOW)
            if part > 0.2:
                scores[joint] = score
            if part > 0.2 and score > best:
                best, elbow, share = score, joint, part
    if elbow < 0:
        elbow = hinges(model, hand)[-1]
    elbow, named = by_name(model, moving, "elbow", elbow, scores)
    middle = int(model.jnt_bodyid[elbow])
    best, share = scores.get(elbow, best), lengths[moving.index(middle)]
    forearm = float(np.linalg.norm(tip - data.xpos[middle]))
    wrist = float(np.linalg.norm(data.xpos[hand] - data.xpos[middle]))
    guesses = {
        "elbows": Guess(
            round(float(np.clip(0.55 + 0.4 * best, 0.1, 0.95)) * (0.4 if named else 1.0), 2),
            f"hinge across the forearm, {100 * share:.0f} % of the way from shoulder to hand"
            f"{named}",
        )
    }
    if hand != middle and wrist > 0.3 * forearm:
        guesses["wrists"] = Guess(0.9, f"last hinge of the arm, {wrist:.2f} m from the elbow")
        return make_limb(model, way, elbow), guesses
    end = data.xmat[middle].reshape(3, 3).T @ (0.8 * (tip - data.xpos[middle]))
    guesses["wrists"] = Guess(
        0.3 if assumed else 0.6,
        f"no hinge there: a point at 80 % of the {forearm:.2f} m from elbow to finger tips"
        f"{assumed}",
    )
    stop = way[: way.index(middle) + 1]
    return make_limb(model, stop, elbow, tip=np.round(end, 4)), guesses


def _assumed_tip(
    model: mujoco.MjModel, data: mujoco.MjData, moving: list[int]
) -> tuple[Array, str]:
    """Where [3] the finger tips are of an arm whose last body shows nothing, and what says so.

    A bar is twice as long as its centre of mass is far; without one, forearms are as long as upper
    arms.
    """
    hand, start = data.xpos[moving[-1]], data.xpos[moving[0]]
    reach = float(np.linalg.norm(hand - start))
    heavy = np.asarray(data.xipos[moving[-1]]) - hand
    if float(np.linalg.norm(heavy)) > 0.1 * max(reach, 1e-3):
        return hand + 2.0 * heavy, "; it has no geometry: as long as its centre of mass says"
    steps = [float(np.linalg.norm(data.xpos[b] - hand)) for b in moving]
    apart = [k for k, step in enumerate(steps) if step > 0.1 * max(reach, 1e-3)]
    if apart and moving[-1] != moving[0] and len(moving) > 3 and hinges(model, moving[-1]):
        before = data.xpos[moving[apart[-1]]]
        return hand + (hand - before), "; it has no geometry: as long as the bone before it"
    return hand.copy(), ""


def _across(axis: Array, bone: Array) -> float:
    """How much [0, 1] a hinge turns a bone, instead of twisting it."""
    return float(np.linalg.norm(np.cross(axis, bone / max(float(np.linalg.norm(bone)), 1e-9))))


def _along(data: mujoco.MjData, moving: list[int], tip: Array) -> list[float]:
    """Share of the arm's length at which each body begins."""
    places = [data.xpos[b] for b in moving] + [tip]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    return list(ends[:-1] / max(ends[-1], 1e-9))


def _mirrored(
    model: mujoco.MjModel, limb: Limb, partner: dict[int, int], data: mujoco.MjData, what: str
) -> Limb:
    """The same limb on the other side."""
    for body in (*limb.bodies, limb.end):
        if body not in partner:
            raise RobotError(
                f"{what}: body '{model.body(body).name}' has no mirror image on the other side: "
                "both legs and both arms need the same hinges"
            )
    bodies = tuple(partner[b] for b in limb.bodies)
    joints = tuple(j for b in bodies for j in hinges(model, b))
    end = partner[limb.end]
    tip = limb.tip
    if limb.tip.any():
        flip = np.array([1.0, -1.0, 1.0])
        at = data.xpos[limb.end] + data.xmat[limb.end].reshape(3, 3) @ limb.tip
        tip = np.round(data.xmat[end].reshape(3, 3).T @ (at * flip - data.xpos[end]), 4)
    return Limb(
        bodies=bodies,
        joints=joints,
        upper=partner[limb.upper],
        middle=partner[limb.middle],
        end=end,
        bend=joints[limb.joints.index(limb.bend)],
        tip=tip,
    )
