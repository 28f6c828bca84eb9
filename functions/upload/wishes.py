"""What an upload may ask for: options of the conversion and, beside them, what is to happen with the job."""

from collections.abc import Mapping
from dataclasses import dataclass

from audiolift import options
from audiolift.addresses import AddressError, parse_url
from audiolift.options import Options

NAMES = (*options.NAMES, "hold", "webhook")


@dataclass(frozen=True)
class Wishes:
    """What was asked for.

    Attributes:
        options: Those of the conversion.
        hold: Whether the video is looked at, and converted only when its owner says how.
        webhook: An address to call when the job has ended. Where it leads is found out then: no upload waits for that.
    """

    options: Options
    hold: bool
    webhook: str | None


def parse(given: Mapping[str, str]) -> Wishes:
    """Reads wishes as people write them.

    Raises:
        PermanentError: `option_invalid`.
    """
    rest = dict(given)
    hold = rest.pop("hold", "false")
    if hold not in ("true", "false"):
        raise options.invalid("hold", "it is true or false.")
    webhook = rest.pop("webhook", None)
    try:
        if webhook is not None:
            parse_url(webhook)
    except AddressError as error:
        raise options.invalid("webhook", str(error)) from error
    return Wishes(options.parse(rest), hold == "true", webhook)
