import { lazy, Suspense } from 'preact/compat'
import { useState } from 'preact/hooks'
import { announce } from './announce'
import { Failure } from './Failure'
import { bytes, clock, day, timeLeft } from './format'
import { sentence } from './http'
import { Item } from './Item'
import { isReady, type Job, link, remove } from './jobs'
import { Modal } from './Modal'
import { TrackChoice } from './TrackChoice'

const Player = lazy(() => import('./Player'))

/** One job: how it stands, and what can be done with it. */
export function JobItem({ job }: { job: Job }) {
  const [playing, setPlaying] = useState(false)
  const [asking, setAsking] = useState(false)
  const [shared, setShared] = useState<{ url: string; text: string } | null>(null)
  const [error, setError] = useState('')
  const { name } = job.video
  const told = (reason: unknown) => setError(sentence(reason))
  const canPlay = isReady(job) && job.audio?.content_type === 'audio/mpeg'

  const share = async () => {
    const { url, expires_at } = await link(job.id)
    const copied = await navigator.clipboard?.writeText(url).then(
      () => true,
      () => false,
    )
    const text = `${copied ? 'Copied. The' : 'The'} link works for anyone until ${day(expires_at)}, or until you delete this.`
    setShared({ url, text })
    announce(text)
  }
  const discard = async () => {
    setAsking(false)
    await remove(job.id)
    announce(`${name} is deleted.`)
    document.getElementById('jobs')?.focus()
  }

  return (
    <Item name={name} action="Delete" onAction={() => setAsking(true)}>
      <Standing job={job} />
      {job.state === 'waiting' && <TrackChoice job={job} />}
      {playing && (
        <Suspense fallback={<p class="hint">One moment…</p>}>
          <Player job={job} />
        </Suspense>
      )}
      {shared && (
        <label class="hint">
          {shared.text}
          <input readOnly value={shared.url} onFocus={({ currentTarget }) => currentTarget.select()} />
        </label>
      )}
      <Failure text={error} />
      <div class="actions">
        {canPlay && !playing && (
          <button type="button" aria-label={`Listen to ${name}`} onClick={() => setPlaying(true)}>
            Listen
          </button>
        )}
        {isReady(job) && (
          <a
            class="button"
            href={job.links.audio ?? ''}
            download={job.audio?.name ?? ''}
            aria-label={`Download ${job.audio?.name}`}
          >
            Download
          </a>
        )}
        {isReady(job) && (
          <button type="button" aria-label={`Copy link to ${name}`} onClick={() => share().catch(told)}>
            Copy link
          </button>
        )}
      </div>
      {asking && (
        <Modal label={`Delete ${name}`} onClose={() => setAsking(false)}>
          <h2>Delete {name}?</h2>
          <p>The video and its sound are removed for good, and links to them end.</p>
          <div class="actions">
            <button type="button" onClick={() => setAsking(false)}>
              Keep it
            </button>
            <button type="button" class="danger" onClick={() => discard().catch(told)}>
              Delete
            </button>
          </div>
        </Modal>
      )}
    </Item>
  )
}

function Standing({ job }: { job: Job }) {
  const { percent, eta_s } = job.progress
  switch (job.state) {
    case 'waiting':
      return job.media ? null : <p class="line">We look at what is in it…</p>
    case 'uploaded':
      return (
        <>
          <progress aria-label={`Converting ${job.video.name}`} />
          <p class="line">It is its turn soon</p>
        </>
      )
    case 'converting':
      return (
        <>
          <progress aria-label={`Converting ${job.video.name}`} max={100} value={percent} />
          <p class="line">
            Converting, {Math.floor(percent)} %{eta_s === null ? '' : `, ${timeLeft(eta_s)}`}
          </p>
        </>
      )
    case 'failed':
      return <p class="error">{job.error?.message}</p>
    default:
      return (
        <p class="hint">
          <strong class="ready">Ready</strong>
          {facts(job).map((fact) => ` · ${fact}`)}
        </p>
      )
  }
}

function facts({ audio, expires_at }: Job): string[] {
  if (!audio) return []
  const { loudness } = audio
  const kind = audio.content_type === 'application/zip' ? ['zip, one MP3 for each chapter'] : []
  const levels = loudness ? [`${loudness.before_lufs.toFixed(1)} → ${loudness.after_lufs.toFixed(1)} LUFS`] : []
  const until = `kept until ${day(expires_at)}`
  return [clock(audio.duration_s), bytes(audio.size), ...kind, ...levels, until]
}
