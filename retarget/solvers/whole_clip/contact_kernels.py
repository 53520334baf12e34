"""Inner loops of what a pose must keep clear of; layouts as in `kernels`."""

from __future__ import annotations

import numpy as np

from retarget.solvers.compiled import kernel


@kernel
def height(gram, force, t, x, y, residual, square):
    """One row of the height of a point at `x`, `y` (from the root): w_x y - w_y x + v_z."""
    gram[0, t] += square * y * y
    gram[1, t] -= square * x * y
    gram[3, t] += square * x * x
    gram[8, t] += square * y
    gram[11, t] -= square * x
    gram[20, t] += square
    pull = square * residual
    force[0, t] += pull * y
    force[1, t] -= pull * x
    force[5, t] += pull
    return pull * residual


@kernel
def ground(gram, force, pos, mat, root_z, frame, touching, body, start, point, lift, middle, half,
           square, carried, hold):  # fmt: skip
    """Rows of what is under the ground; the cost.

    Part k of K is the points ``start[k]:start[k + 1]`` of `point` [3, P] m on `body` [K], which are
    `lift` [K] m above the ground when they touch it, in a box around `middle` [K, 3] m of `half`
    [K, 3] m to each side. `touching` [frames of the clip, P] uint8 is renewed: a part's first
    entry is 2 or 3 where any of its points touches, its lowest bit tells of the point itself.
    """
    cost = 0.0
    depth = np.empty(point.shape[1])
    for k in range(len(body)):
        p, r, h, f = pos[body[k]], mat[body[k]], gram[body[k]], force[body[k]]
        low, high = start[k], start[k + 1]
        for t in range(len(frame)):
            flags = touching[frame[t]]
            level = root_z[t] + p[2, t] - lift[k]
            a, b, c = r[2, 0, t], r[2, 1, t], r[2, 2, t]
            bottom = level - abs(a) * half[k, 0] - abs(b) * half[k, 1] - abs(c) * half[k, 2]
            bottom += a * middle[k, 0] + b * middle[k, 1] + c * middle[k, 2]
            deepest = -1.0
            if bottom < hold:
                for i in range(low, high):
                    depth[i] = -(level + a * point[0, i] + b * point[1, i] + c * point[2, i])
                for i in range(low, high):
                    deepest = max(deepest, depth[i])
            if deepest <= -hold:
                if flags[low] > 1:
                    flags[low:high] = 0
                continue
            least = max(0.0, carried * deepest)
            some = 0
            for i in range(low, high):
                d = depth[i]
                on = d > least or ((flags[i] & 1) == 1 and d > -hold)
                flags[i] = on
                if on:
                    some = 2
                    e, g, q = point[0, i], point[1, i], point[2, i]
                    x = p[0, t] + r[0, 0, t] * e + r[0, 1, t] * g + r[0, 2, t] * q
                    y = p[1, t] + r[1, 0, t] * e + r[1, 1, t] * g + r[1, 2, t] * q
                    cost += height(h, f, t, x, y, -d, square)
            flags[low] |= some
    return cost


@kernel
def let_go(step, basis, pos, mat, root_z, frame, touching, body, start, point, lift, carrier_start,
           carrier, rise):  # fmt: skip
    """Take the marks of `ground` off points that `step` [T, n] lifts: nothing presses them down.

    The joints ``carrier[carrier_start[b]:carrier_start[b + 1]]`` move body b. `rise` [T] m becomes
    the height that the step lifts such a point to, of the highest.
    """
    twist = np.empty(6)
    for k in range(len(body)):
        p, r, low, high = pos[body[k]], mat[body[k]], start[k], start[k + 1]
        for t in range(len(frame)):
            flags = touching[frame[t]]
            if flags[low] < 2:
                continue
            for i in range(3):
                twist[i], twist[3 + i] = step[t, 3 + i], step[t, i]
            for c in range(carrier_start[body[k]], carrier_start[body[k] + 1]):
                a = carrier[c]
                for i in range(6):
                    twist[i] += basis[a, i, t] * step[t, a]
            some = 0
            for i in range(low, high):
                if flags[i] & 1 == 0:
                    continue
                e, g, q = point[0, i], point[1, i], point[2, i]
                x = p[0, t] + r[0, 0, t] * e + r[0, 1, t] * g + r[0, 2, t] * q
                y = p[1, t] + r[1, 0, t] * e + r[1, 1, t] * g + r[1, 2, t] * q
                z = p[2, t] + r[2, 0, t] * e + r[2, 1, t] * g + r[2, 2, t] * q
                after = root_z[t] + z - lift[k] + twist[0] * y - twist[1] * x + twist[5]
                if after > 0.0:
                    flags[i] = 0
                    rise[t] = max(rise[t], after)
                else:
                    some = 2
                    flags[i] = 1
            flags[low] = (flags[low] & 1) | some


@kernel
def point_places(pos, mat, body, first, count, point, part, frame, out):
    """Places of parts' points from the root: `out` [3, N] m, pair after pair.

    Pair i is of the part ``part[i]``, whose points are ``first[part]`` to ``first + count`` of
    `point` [3, P] m on ``body[part]``, at the frame ``frame[i]``.
    """
    n = 0
    for i in range(len(part)):
        k, t = part[i], frame[i]
        p, r = pos[body[k]], mat[body[k]]
        for j in range(first[k], first[k] + count[k]):
            e, g, q = point[0, j], point[1, j], point[2, j]
            for axis in range(3):
                out[axis, n] = (
                    p[axis, t] + r[axis, 0, t] * e + r[axis, 1, t] * g + r[axis, 2, t] * q
                )
            n += 1


@kernel
def sparse_rows(gram, force, body, frame, rows, residual):
    """Rows [6, N] on the twists of bodies [N] at frames [N] with residuals [N]; the cost."""
    cost = 0.0
    row = np.empty(6)
    for n in range(len(body)):
        h, f, t, e = gram[body[n]], force[body[n]], frame[n], residual[n]
        for i in range(6):
            row[i] = rows[i, n]
            f[i, t] += row[i] * e
        at = 0
        for i in range(3):
            for j in range(i, 3):
                h[at, t] += row[i] * row[j]
                h[15 + at, t] += row[3 + i] * row[3 + j]
                at += 1
            for j in range(3):
                h[6 + 3 * i + j, t] += row[i] * row[3 + j]
        cost += e * e
    return cost


@kernel
def placed(pos, mat, geom, body, place, turn, frame, at, axes):
    """Where geoms are: `at` [K, all geoms, 3] m and `axes` [K, all geoms, 9] at frames [K] of those
    in `geom` [G], which are at `place` [G, 3] m and turned by `turn` [G, 3, 3] on `body` [G]."""
    for k in range(len(frame)):
        t = frame[k]
        for g in range(len(body)):
            p, r, to = pos[body[g]], mat[body[g]], turn[g]
            x, y, z = place[g, 0], place[g, 1], place[g, 2]
            for i in range(3):
                a, b, c = r[i, 0, t], r[i, 1, t], r[i, 2, t]
                at[k, geom[g], i] = p[i, t] + a * x + b * y + c * z
                for j in range(3):
                    axes[k, geom[g], 3 * i + j] = a * to[0, j] + b * to[1, j] + c * to[2, j]


@kernel
def close_pairs(pos, mat, body, ends, first, second, apart, limit, near):
    """Mark pairs of capsules that are nearer than `limit` [P] m: `near` [P, T] bool.

    Args: capsule k is the segment `ends` [K, 2, 3] m on `body` [K]; pair p is of the capsules
        ``first[p]`` and ``second[p]``, whose middles are further apart than `apart` [P] m if they
        are not close. Distance of segments: Ericson, Real-Time Collision Detection, 5.1.9.
    """
    frames = pos.shape[2]
    place = np.empty((len(body), 2, 3, frames))
    for k in range(len(body)):
        p, r = pos[body[k]], mat[body[k]]
        for end in range(2):
            a, b, c = ends[k, end]
            for i in range(3):
                for t in range(frames):
                    place[k, end, i, t] = p[i, t] + r[i, 0, t] * a + r[i, 1, t] * b + r[i, 2, t] * c
    for p in range(len(first)):
        a, b = place[first[p]], place[second[p]]
        far = 4.0 * apart[p] ** 2
        for t in range(frames):
            x = a[0, 0, t] + a[1, 0, t] - b[0, 0, t] - b[1, 0, t]
            y = a[0, 1, t] + a[1, 1, t] - b[0, 1, t] - b[1, 1, t]
            z = a[0, 2, t] + a[1, 2, t] - b[0, 2, t] - b[1, 2, t]
            near[p, t] = x * x + y * y + z * z < far
        for t in range(frames):
            if near[p, t]:
                near[p, t] = segment_distance(a[:, :, t], b[:, :, t]) < limit[p]


@kernel
def segment_distance(a, b):
    """Distance m between segments with ends [2, 3] each."""
    tiny = 1e-12
    aa = bb = ab = ar = br = rr = 0.0
    for i in range(3):
        d1, d2, r = a[1, i] - a[0, i], b[1, i] - b[0, i], a[0, i] - b[0, i]
        aa += d1 * d1
        bb += d2 * d2
        ab += d1 * d2
        ar += d1 * r
        br += d2 * r
        rr += r * r
    denominator = aa * bb - ab * ab
    # Where b is a point or parallel to a, any place along a serves to begin with.
    s = (ab * br - ar * bb) / denominator if denominator > tiny else -ar / max(aa, tiny)
    s = min(max(s, 0.0), 1.0)
    t = (ab * s + br) / max(bb, tiny)
    if t < 0.0 or t > 1.0:
        t = min(max(t, 0.0), 1.0)
        s = min(max((ab * t - ar) / max(aa, tiny), 0.0), 1.0)
    gap = 0.0
    for i in range(3):
        d1, d2, r = a[1, i] - a[0, i], b[1, i] - b[0, i], a[0, i] - b[0, i]
        gap += (r + s * d1 - t * d2) ** 2
    return np.sqrt(gap)
