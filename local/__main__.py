"""`python -m local COMMAND`: the one-machine platform of this clone; `make help` tells the same as targets."""

import argparse
import sys
from pathlib import Path

from local import backup, commands, demo, foreground

_COMMANDS = {
    "up": commands.up,
    "down": commands.down,
    "run": foreground.run,
    "status": commands.show_status,
    "logs": commands.show_logs,
    "traces": commands.show_traces,
    "demo": demo.demo,
}


def main() -> int:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        names.add_parser(name, help=command.__doc__).set_defaults(command=command)
    for name, copy in {"backup": backup.back_up, "restore": backup.bring_back}.items():
        named = names.add_parser(name, help=copy.__doc__)
        named.add_argument("directory", type=Path)
        named.set_defaults(command=copy)
    # For `up` only, which makes the pipe.
    names.add_parser("supervise").add_argument("descriptor", type=int)
    arguments = parser.parse_args()
    if "descriptor" in arguments:
        return foreground.run_for(arguments.descriptor)
    of_command = (arguments.directory.resolve(),) if "directory" in arguments else ()
    result: int = arguments.command(*of_command)
    return result


if __name__ == "__main__":
    sys.exit(main())
