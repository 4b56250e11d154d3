"""The command `schema`."""

from __future__ import annotations

import click

from prl_submit.cli.console import raw
from prl_submit.prepare import table_of
from prl_submit.swift.choice import is_release


@click.command("schema")
@click.argument("spec", required=False, type=click.Path())
@click.option(
    "--swift-version",
    metavar="VERSION",
    help="Describe the arguments of this ms-swift, such as 4.6.0.",
)
def schema(spec: str | None, swift_version: str | None) -> int:
    """Print the JSON Schema of the job spec, with which editors complete and check a spec.

    The `swift:` arguments in it are those of the ms-swift that SPEC would run, else of VERSION, else
    of the newest release.
    """
    from prl_submit.planning.schema import job_schema, schema_text
    from prl_submit.swift.table import load_table

    if spec is not None and swift_version is not None:
        raise click.UsageError("SPEC and --swift-version both say which ms-swift; give one")
    if swift_version is not None and not is_release(swift_version):
        raise click.UsageError(
            f"--swift-version: expected a release such as 4.6.0, found {swift_version!r}"
        )
    table = table_of(spec) if spec else load_table(swift_version)
    raw(schema_text(job_schema(table)).encode("utf-8") + b"\n")
    return 0


command = schema
