"""Whatever words `prl-submit init` is given, its spec reads back as exactly those."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prl_submit.spec.first_spec import FirstJob, first_spec
from prl_submit.spec.nodes import Node, lookup
from prl_submit.spec.traits import BACKENDS
from prl_submit.spec.yaml import parse_document

#: All that a command line can hold, with more of what YAML has a meaning for.
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    st.text(" '\"\\#:,[]{}&*!|>%@`$-?=~\n\t1e中é\x7f\x85\u2028\ufeff", min_size=1, max_size=12),
    st.sampled_from(
        ["null", "yes", "No", "1e-6", "010", "12:30:00", "~", "<<", "- a", "a: b", "%x"]
    ),
)
TEXTS = st.lists(TEXT, min_size=1, max_size=3).map(tuple)


def values(tree: Node, key: str) -> tuple[str, ...]:
    """The texts at a key."""
    node = lookup(tree, key)
    assert node is not None
    items = node.value if isinstance(node.value, list) else [node]
    return tuple(str(item.value) for item in items)


@given(
    st.builds(
        FirstJob,
        name=TEXT,
        model=TEXT,
        data=TEXTS,
        rewards=TEXTS,
        plugins=TEXTS,
        columns=TEXTS,
        nproc_per_node=st.integers(1, 1024),
        backend=st.sampled_from([None, *BACKENDS]),
    )
)
def test_values_read_back_the_same(job: FirstJob) -> None:
    tree = parse_document(first_spec(job).encode("utf-8"), "spec", "spec")
    assert values(tree, "name") == (job.name,)
    assert values(tree, "swift.model") == (job.model,)
    assert values(tree, "swift.dataset") == job.data
    assert values(tree, "swift.reward_funcs") == job.rewards
    assert values(tree, "swift.external_plugins") == job.plugins
    assert values(tree, "resources.nproc_per_node") == (str(job.nproc_per_node),)
    if job.backend is not None:
        assert values(tree, "backend") == (job.backend,)
