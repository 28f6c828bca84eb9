"""Which sound track is meant."""

from collections.abc import Sequence

from audiolift import languages
from audiolift.errors import PermanentError
from media import Track


def choose(tracks: Sequence[Track], wanted: int | str | None) -> Track:
    """The track with this number among the sound tracks, or in this language, or the one that the video suggests.

    Raises:
        PermanentError: `no_audio`; `track_not_found`, which lists what there is.
    """
    if not tracks:
        raise PermanentError("no_audio")
    if isinstance(wanted, int):
        meant = list(tracks[wanted : wanted + 1])
    else:
        meant = [track for track in tracks if wanted is None or languages.same(track.language, wanted)]
    if not meant:
        listed = ", ".join(f"{number} ({_describe(track)})" for number, track in enumerate(tracks))
        raise PermanentError("track_not_found", track=wanted, tracks=listed)
    return next((track for track in meant if track.default), meant[0])


def _describe(track: Track) -> str:
    title = f"'{track.title[:40]}'" if track.title else ""
    return ", ".join(filter(None, (track.language or "no language", title, track.codec, track.layout)))
