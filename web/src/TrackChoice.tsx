import { useEffect, useState } from 'preact/hooks'
import { Failure } from './Failure'
import { Choice } from './Field'
import { clock, language, plural } from './format'
import { sentence } from './http'
import { convert, type Job, look, type Track } from './jobs'
import { CHAPTERS } from './Options'

const LAYOUTS: Record<number, string> = { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' }

/** What is in a video that waits, and which of its sound tracks is wanted. */
export function TrackChoice({ job }: { job: Job }) {
  const [error, setError] = useState('')
  const [busy, setBusy] = useState(false)
  const { media } = job
  useEffect(() => {
    // The list of jobs does not say what is in each.
    if (media === undefined) look(job.id).catch((reason) => setError(sentence(reason)))
  }, [job.id, media])
  if (!media) return error ? <p class="error">{error}</p> : null

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    const chapters = String(form.get('chapters') ?? '')
    setBusy(true)
    try {
      await convert(job.id, { track: Number(form.get('track')), ...(chapters && { chapters }) })
    } catch (reason) {
      setBusy(false)
      setError(sentence(reason))
    }
  }
  const chosen = media.tracks.find((track) => track.default) ?? media.tracks[0]
  return (
    <form onSubmit={submit}>
      <fieldset>
        <legend>Which sound?</legend>
        {media.tracks.map((track) => (
          <label key={track.index} class="check">
            <input type="radio" name="track" value={track.index} defaultChecked={track === chosen} />
            <span>{described(track)}</span>
          </label>
        ))}
      </fieldset>
      {media.chapters.length > 0 && (
        <>
          <details>
            <summary>{plural(media.chapters.length, 'chapter')}</summary>
            <ol class="chapters">
              {media.chapters.map((chapter) => (
                <li key={chapter.start_s}>
                  {chapter.title || 'Without a title'} <span class="hint">{clock(chapter.start_s)}</span>
                </li>
              ))}
            </ol>
          </details>
          <Choice name="chapters" label="Chapters" values={[['', 'As chosen before'], ...CHAPTERS]} />
        </>
      )}
      <Failure text={error} />
      <button type="submit" class="main" disabled={busy} aria-label={`Convert ${job.video.name}`}>
        Convert
      </button>
    </form>
  )
}

function described(track: Track): string {
  const spoken = track.language ? language(track.language) : `Track ${track.index + 1}`
  const layout = track.channels === null ? '' : (LAYOUTS[track.channels] ?? `${track.channels} channels`)
  return [spoken, track.title, layout, track.codec.toUpperCase()].filter(Boolean).join(', ')
}
