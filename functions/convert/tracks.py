"""Which sound track is meant."""

from collections.abc import Sequence

from audiolift import languages
from audiolift.errors import PermanentError
from contents import line
from media import Track

#: What a sentence tells of a video, which may have a thousand tracks with a thousand letters each.
_LISTED, _TITLE_LENGTH, _NAME_LENGTH = 16, 40, 20


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
        listed = [f"{number} ({_describe(track)})" for number, track in enumerate(tracks[:_LISTED])]
        listed += [f"and {more} more"] if (more := len(tracks) - _LISTED) > 0 else []
        raise PermanentError("track_not_found", track=wanted, tracks=", ".join(listed))
    return next((track for track in meant if track.default), meant[0])


def _describe(track: Track) -> str:
    title = f"'{line(track.title, _TITLE_LENGTH)}'" if track.title else ""
    language = line(track.language, _NAME_LENGTH) or "no language"
    return ", ".join(filter(None, (language, title, track.codec, line(track.layout, _NAME_LENGTH))))
