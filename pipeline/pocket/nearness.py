"""How near things are, as a share: what is told of paintings and drawings, and learned from them.

A sky is 0, what stands on the horizon a little nearer. The way to flat ground is as its distance below the horizon is
small, so its nearness rises from there in proportion; what stands is as near as the ground at its foot.
"""

# Of the horizon, and by how much more ground is nearer a whole height of the view below it.
HORIZON, RISE = 0.1, 0.9
# How much nearer than the ground at its foot a subject is, and one whose foot is below the picture.
STANDING, CUT_OFF = 0.04, 0.14
