"""prl-submit with one backend more. This is all that registers it."""

from prl_submit.__main__ import main
from prl_submit.spec.traits import BACKENDS, Traits

BACKENDS["spool"] = Traits(
    name="spool", package=__package__, runs_here=True, several_nodes=False, own_clock=False
)
main()
