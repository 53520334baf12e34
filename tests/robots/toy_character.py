"""A character of capsules as MJCF text in the manner of MuJoCo's humanoid.

Hips carry three hinges a body, shoulders and ankles two, and hinges lie off their bodies' origins.
"""

from __future__ import annotations

_CAPSULE = '<geom type="capsule" fromto="{0}" size="{1}"/>'


def _hinge(name: str, axis: str, low: float, high: float, pos: str = "0 0 0") -> str:
    return (
        f'<joint name="{name}" type="hinge" axis="{axis}" pos="{pos}" range="{low} {high}" '
        'armature="0.01" stiffness="2" damping="1"/>'
    )


def _leg(side: str, y: float) -> str:
    s = 1 if y > 0 else -1
    return f"""
<body name="{side}_thigh" pos="0 {y} -0.04">
  {_hinge(f"{side}_hip_x", f"{-s} 0 0", -30, 10)}
  {_hinge(f"{side}_hip_z", f"0 0 {-s}", -60, 35)}
  {_hinge(f"{side}_hip_y", "0 -1 0", -20, 120)}
  {_CAPSULE.format(f"0 0 0 0 {-0.01 * s} -.34", 0.06)}
  <body name="{side}_shin" pos="0 {-0.01 * s} -0.4">
    {_hinge(f"{side}_knee", "0 -1 0", -150, 2, "0 0 .02")}
    {_CAPSULE.format("0 0 0 0 0 -.3", 0.049)}
    <body name="{side}_foot" pos="0 0 -0.39">
      {_hinge(f"{side}_ankle_y", "0 1 0", -50, 50, "0 0 .08")}
      {_hinge(f"{side}_ankle_x", "1 0 0.5", -50, 50, "0 0 .04")}
      {_CAPSULE.format("-.07 -.01 0 .14 -.03 0", 0.027)}
      {_CAPSULE.format("-.07 .01 0 .14 .03 0", 0.027)}
    </body>
  </body>
</body>"""


def _arm(side: str, y: float) -> str:
    s = 1 if y > 0 else -1
    return f"""
<body name="{side}_upper_arm" pos="0 {y} 0.06">
  {_hinge(f"{side}_shoulder1", f"2 {-s} 1" if s < 0 else "-2 1 -1", -85, 60)}
  {_hinge(f"{side}_shoulder2", f"0 -1 {-s}", -85, 60)}
  {_CAPSULE.format(f"0 0 0 .16 {0.16 * s} -.16", 0.04)}
  <body name="{side}_lower_arm" pos=".18 {0.18 * s} -.18">
    {_hinge(f"{side}_elbow", f"0 -1 {-s}", -90, 50)}
    {_CAPSULE.format(f".01 {-0.01 * s} .01 .17 {-0.17 * s} .17", 0.031)}
    <body name="{side}_hand" pos=".18 {-0.18 * s} .18"><geom type="sphere" size=".04"/></body>
  </body>
</body>"""


def mjcf(more: str = "") -> str:
    """The model; `more` goes below its root element (an ``<equality>``)."""
    return f"""<mujoco model="toy character">
<compiler angle="degree" autolimits="true"/>
<worldbody>
<body name="torso" pos="0 0 1.282"><freejoint name="root"/>
  {_CAPSULE.format("0 -.07 0 0 .07 0", 0.07)}
  <geom type="sphere" size=".09" pos="0 0 .19"/>
  <body name="lower_waist" pos="-.01 0 -.26">
    {_hinge("abdomen_z", "0 0 1", -45, 45, "0 0 .065")}
    {_hinge("abdomen_y", "0 1 0", -75, 30, "0 0 .065")}
    {_CAPSULE.format("0 -.06 0 0 .06 0", 0.06)}
    <body name="pelvis" pos="0 0 -.165">
      {_hinge("abdomen_x", "1 0 0", -35, 35, "0 0 .1")}
      {_CAPSULE.format("-.02 -.07 0 -.02 .07 0", 0.09)}
      {_leg("left", 0.1)}
      {_leg("right", -0.1)}
    </body>
  </body>
  {_arm("left", 0.17)}
  {_arm("right", -0.17)}
</body>
</worldbody>
{more}
</mujoco>"""
