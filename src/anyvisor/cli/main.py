# SPDX-License-Identifier: Apache-2.0
"""The program `anyvisor`: its commands, and what becomes of an error."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from anyvisor import __version__
from anyvisor.cli.agent import agent
from anyvisor.cli.appliance import appliance
from anyvisor.cli.apply import apply
from anyvisor.cli.explain import explain
from anyvisor.cli.lab import lab
from anyvisor.cli.plan import plan
from anyvisor.cli.schemes import schemes
from anyvisor.cli.serve import serve
from anyvisor.cli.table import bad, dim
from anyvisor.cli.view import view
from anyvisor.errors import AnyvisorError, InputError

_FAILED, _USAGE = 1, 2
_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="anyvisor")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file  [default: /etc/anyvisor/anyvisor.toml]"
)
@click.option(
    "--database",
    metavar="REMOTE",
    help="The Anyvisor database, e.g. unix:/run/anyvisor/db.sock or ssl:db.example:6640",
)
@click.option("--private-key", metavar="FILE", help="Our key for ssl: remotes, in PEM form.")
@click.option("--certificate", metavar="FILE", help="The certificate that goes with it.")
@click.option(
    "--ca-certificate", metavar="FILE", help="The authority that signed the databases' certificates."
)
@click.option("-v", "--verbose", count=True, help="Log what is done; twice for every detail.")
@click.pass_context
def cli(context: click.Context, /, config: Path | None, verbose: int, **flags: str | None) -> None:
    """One SDN over any hypervisor.

    \b
    Say what exists and what is wanted in a site file, then:
      anyvisor plan  -f site.yaml     see what would be done, and why
      anyvisor apply -f site.yaml     do it
      anyvisor view                   see what is controlled, and what escapes
    """
    logging.basicConfig(
        level=(logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)],
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    context.obj = {"config": config, "verbose": verbose, "flags": flags}


for command in (plan, apply, view, explain, schemes, lab, serve, agent, appliance):
    cli.add_command(command)


@cli.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL, to be sourced.

    \b
    bash:  anyvisor completion bash > /etc/bash_completion.d/anyvisor
    """
    from click.shell_completion import get_completion_class

    chosen = get_completion_class(shell)
    assert chosen is not None
    click.echo(chosen(cli, {}, "anyvisor", "_ANYVISOR_COMPLETE").source())


def report(error: AnyvisorError) -> int:
    """Say on standard error what went wrong and what to do; returns the exit status."""
    if isinstance(error, InputError):
        for fault in error.faults:
            click.echo(str(fault), err=True)
        click.echo(bad(f"{error}; nothing was changed"), err=True)
        return _USAGE
    click.echo(bad("error: ") + str(error), err=True)
    if error.hint:
        click.echo(dim(f"  {error.hint}"), err=True)
    return _FAILED


def main() -> None:
    """Run, and exit with 0 (done), 1 (failed), 2 (bad input or usage) or 3 (differences found)."""
    try:
        status = cli.main(standalone_mode=False)
    except AnyvisorError as error:
        status = report(error)
    except click.ClickException as error:
        error.show()
        status = _USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was done stays, `anyvisor apply` goes on from there", err=True)
        status = _INTERRUPTED
    except BrokenPipeError:
        # `anyvisor view | head` closed the pipe: nothing to complain about, and nothing more to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)
