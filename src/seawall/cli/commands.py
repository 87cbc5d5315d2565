"""The command tree, loaded name by name: a command's module is imported only when it runs."""

from __future__ import annotations

import importlib

import click

from seawall import __version__
from seawall.cli.usage import UsageInvalid

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("seawall.cli.demo", "A whole disaster on this machine, start to end, in about a minute."),
    "status": ("seawall.cli.status", "If a site died now: back when, losing what, proven when."),
    "audit": ("seawall.cli.audit", "What would be lost if this server died now, and what is wrong."),
    "init": ("seawall.cli.init", "Look at a running server and write plan.yaml with every choice explained."),
    "check": ("seawall.cli.check", "Is the plan right, and is everything in place?"),
    "plan": ("seawall.cli.plan", "The plan file: its JSON Schema, its diagnostics."),
    "repository": ("seawall.cli.repository", "Create and inspect repositories."),
    "key": ("seawall.cli.key", "The keys that open a repository: add, list, rotate, export."),
    "backup": ("seawall.cli.backup", "Take a backup of a cluster into its repositories."),
    "list": ("seawall.cli.list_backups", "List the backups and how far the archived WAL reaches."),
    "restore": ("seawall.cli.restore", "Bring a cluster back to a moment."),
    "verify": ("seawall.cli.verify", "Re-read a repository and find any damage."),
    "drill": ("seawall.cli.drill", "Rehearse a restore of any backup, measured; list, show, due."),
    "evidence": ("seawall.cli.evidence", "What drills proved: list, show, verify, sign off."),
    "report": ("seawall.cli.report", "What drills proved in a period, what failed, what is not proven."),
    "wal": ("seawall.cli.wal", "Archive and fetch WAL: push, get, gaps."),
}
"""Every command: its module (which defines ``command``) and its line in ``seawall --help``."""


class LazyGroup(click.Group):
    """A group whose help needs no command's module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.command is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seawall", message="%(prog)s %(version)s")
def root() -> None:
    """Disaster recovery you can prove, for services that live on PostgreSQL."""


def invoke(arguments: list[str]) -> int:
    """Run the command line through click; usage mistakes become :class:`UsageInvalid`."""
    try:
        outcome = root.main(args=arguments, prog_name="seawall", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "seawall"
        raise UsageInvalid(error.format_message(), hint=f"{where} --help") from error
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise UsageInvalid(error.format_message(), hint="seawall --help") from error
    return outcome if isinstance(outcome, int) else 0
