"""A policy fitted to a robot, and the handing over from one such policy to another.

A policy has an order of joints and bodies of its own, gains of its own, and remembers its last
action and what it saw. `Skill` is all of that; `Stander` is the skill that holds in place of the
one that tracks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mimic.deploy import clips as moves
from mimic.deploy.kinematics import Chain
from mimic.deploy.messages import Array, Odometry, RobotIdentity, RobotState, array
from mimic.deploy.playlist import Playlist
from mimic.deploy.rest import Rest
from mimic.policy.contract import PolicyContract
from mimic.policy.observations import Reference
from mimic.policy.observations import RobotState as Measured
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from mimic_base.rotations import matrix_to_quat, quat_mul, quat_rotate

if TYPE_CHECKING:
    from robots import Robot


class Skill:
    """A policy on a robot.

    Attributes:
        anchor: from the base to the policy's anchor body, joints in the contract's order.
        root, body: index of the base and of the anchor body among the policy's bodies.
        kp, kd: [J] gains in the robot's order.
        last: [A] the action that the next observation remembers.
    """

    def __init__(
        self, player: PolicyPlayer, identity: RobotIdentity, anchor: Chain, gains: float = 1.0
    ) -> None:
        """Fit a policy to a robot.

        Args:
            gains: share of the policy's gains.
        """
        contract = player.contract
        self.player, self.anchor = player, anchor
        # Joints of the robot in the contract's order, and the other way round.
        self.to_policy = [identity.joint_names.index(name) for name in contract.joint_names]
        self.to_robot = [contract.joint_names.index(name) for name in identity.joint_names]
        self.root = contract.body_names.index(contract.root_body)
        self.body = contract.body_names.index(contract.anchor_body)
        self.kp = np.asarray(contract.kp)[self.to_robot] * gains
        self.kd = np.asarray(contract.kd)[self.to_robot] * gains
        self.last = np.zeros(contract.num_joints)

    @property
    def contract(self) -> PolicyContract:
        return self.player.contract

    def restart(self, targets: Array | None = None) -> None:
        """Begin anew: histories are empty, and the last action is zero, or the one whose joint
        targets are these, [J] rad in the robot's order."""
        self.player.restart()
        self.last = np.zeros(len(self.last))
        if targets is not None:
            scale = np.asarray(self.contract.action_scale, np.float64)
            off = array(targets)[self.to_policy] - np.asarray(self.contract.default_joint_pos)
            self.last = np.divide(off, scale, out=np.zeros(len(off)), where=scale != 0.0)

    def observe(self, state: RobotState, reference: Reference, frame: int) -> NDArray[np.float32]:
        """The network's observation [D] of a state."""
        return self.player.observe(self.measured(state), reference, frame, self.last)

    def act(self, observation: NDArray[Any]) -> Array:
        """The network's action [A]; the next observation remembers it."""
        self.last = np.asarray(self.player.act(observation), np.float64)
        return self.last

    def targets(self, action: Array) -> Array:
        """Joint targets [J] rad of an action, in the robot's order."""
        return self.player.joint_targets(action)[self.to_robot]

    def measured(self, state: RobotState) -> Measured:
        """A robot's state as the policy's observations read it."""
        joints = array(state.joint_pos)[self.to_policy]
        quat = array(state.imu_quat_w)
        offset, turn = self.anchor.pose(joints)
        known: Odometry | None = state.odometry
        return Measured(
            joint_pos=joints,
            joint_vel=array(state.joint_vel)[self.to_policy],
            root_ang_vel_b=state.gyro,
            anchor_quat_w=quat_mul(quat, matrix_to_quat(turn)),
            anchor_pos_w=None if known is None else known.pos_w + quat_rotate(quat, offset),
            root_lin_vel_b=None if known is None else known.lin_vel_b,
            root_pos_w=None if known is None else known.pos_w,
            root_quat_w=quat,
        )

    def placed(self, reference: Reference, state: RobotState) -> Reference:
        """The reference where the robot is, and towards where it looks."""
        measured = self.measured(state)
        pos = None if measured.anchor_pos_w is None else array(measured.anchor_pos_w)
        return moves.moved_to(reference, self.body, pos, array(measured.anchor_quat_w))


class Stander:
    """A policy that stands, which takes over where the tracker is to hold.

    Attributes:
        skill: it, on the robot. playlist: the way into the pose in which it stands.
    """

    def __init__(
        self,
        player: PolicyPlayer,
        robot: Robot,
        identity: RobotIdentity,
        *,
        settle_s: float,
        gains: float = 1.0,
    ) -> None:
        """Make a stander.

        Args:
            settle_s: s of the way into its pose: the quietest of the clip in its file in which the
                robot can stay, else standing with the default joints.
            gains: share of the policy's gains.
        """
        contract = player.contract
        anchor = Chain.of(robot, contract.anchor_body, contract.joint_names)
        self.skill = Skill(player, identity, anchor, gains)
        inside = [] if contract.clip_inside is None else [player.reference_inside()]
        self.rest = Rest.of(contract, robot, inside)
        self._robot, self._settle_s = robot, settle_s
        self.playlist = self._into(self.rest.pose)

    def take_over(self, tracker: Skill, way: Reference, frame: int, state: RobotState) -> None:
        """Begin at a frame of what was tracked, which goes on while it blends into the pose."""
        count = max(2, round(self._settle_s / self.skill.contract.control_dt))
        begun = self._in_order_of(self.skill, tracker, way, frame, count)
        self.playlist = self._into(self.skill.placed(begun, state))
        self.playlist.settle()

    def give_back(self, tracker: Skill, state: RobotState) -> Reference:
        """Two frames of the pose in which it stands now, in the order of who tracks from now on."""
        pose = moves.held(self.playlist.reference, self.playlist.frame, 2)
        return tracker.placed(self._in_order_of(tracker, self.skill, pose, 0, 2), state)

    def _into(self, reference: Reference) -> Playlist:
        dt = self.skill.contract.control_dt
        settle = max(1, round(self._settle_s / dt))
        return Playlist(
            [reference],
            body=self.skill.body,
            blend=settle,
            settle=settle,
            control_dt=dt,
            rest=self.rest,
        )

    def _in_order_of(
        self, taker: Skill, giver: Skill, reference: Reference, frame: int, count: int
    ) -> Reference:
        """Frames of the giver's reference with the taker's joints and bodies."""
        from motions import RobotMotion

        rows = np.minimum(frame + np.arange(count), reference.num_frames - 1)
        motion = RobotMotion.from_coordinates(
            self._robot,
            reference.body_pos_w[rows, giver.root],
            reference.body_quat_w[rows, giver.root],
            reference.joint_pos[rows][:, giver.to_robot],
            fps=1.0 / taker.contract.control_dt,
            name="the way into the hold",
        )
        return taker.player.reference(motion)


def check_stander(stander: PolicyPlayer, tracker: PolicyPlayer) -> None:
    """Refuse a policy that cannot hold what another one has tracked.

    Raises:
        MimicError: one that tracks no clip, or runs at another rate.
    """
    contract, other = stander.contract, tracker.contract
    if not contract.motions:
        raise MimicError(
            f"{stander.path}: this policy of task '{contract.task}' tracks no clip, so that it "
            "cannot be asked to stand; give --hold-policy one that does"
        )
    if abs(contract.control_dt - other.control_dt) > 1e-9:
        raise MimicError(
            f"{stander.path}: runs at {1 / contract.control_dt:g} Hz, {tracker.path} at "
            f"{1 / other.control_dt:g} Hz; --hold-policy needs one of the same rate"
        )
