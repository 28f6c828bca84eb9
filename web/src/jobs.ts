/** The person's jobs, and their progress as it happens. */
import { effect, signal } from '@preact/signals'
import { announce } from './announce'
import { json, Problem } from './http'
import { call, lost, session } from './session'

export interface Track {
  index: number
  codec: string
  channels: number | null
  language: string | null
  title: string | null
  default: boolean
}
export interface Media {
  duration_s: number | null
  tracks: Track[]
  chapters: { title: string; start_s: number; end_s: number }[]
}
export interface Audio {
  name: string
  size: number
  duration_s: number
  content_type: string
  loudness: { before_lufs: number; after_lufs: number } | null
}
export interface Job {
  id: string
  state: 'waiting' | 'uploaded' | 'converting' | 'converted' | 'notified' | 'failed'
  video: { name: string; size: number }
  progress: { percent: number; eta_s: number | null }
  audio: Audio | null
  media?: Media | null
  error: { code: string; message: string } | null
  expires_at: string
  links: { audio?: string; waveform?: string }
}
interface Page {
  jobs: Job[]
  next: string | null
}
type Progress = Pick<Job, 'id' | 'error'> & { state: Job['state'] | 'deleted'; percent: number; eta_s: number | null }

/** HTTP/1.1 gives an origin six connections, for all tabs: what is beyond these is asked for now and then. */
const STREAMS = 2
const POLL_MS = 4_000
const REOPEN_MS = 1_000

/** The newest first; null until they are known. */
export const jobs = signal<Job[] | null>(null)
/** Where the next page of older jobs is, if there is one. */
export const older = signal<string | null>(null)

/** Whether its MP3 is there. */
export const isReady = (job: Job): boolean => job.state === 'converted' || job.state === 'notified'

const isMoving = (job: Job): boolean =>
  job.state === 'uploaded' || job.state === 'converting' || (job.state === 'waiting' && !job.media)

/** Reads the newest page again. */
export async function refresh(): Promise<void> {
  const page = await call<Page>('/jobs')
  const known = new Map(jobs.value?.map((job) => [job.id, job]))
  const last = page.jobs.at(-1)?.id
  const beyond = page.next && last ? (jobs.value ?? []).filter((job) => job.id < last) : []
  if (beyond.length === 0) older.value = page.next
  jobs.value = [...page.jobs.map((job) => ({ ...known.get(job.id), ...job })), ...beyond]
}

/** Reads the next page of older ones. */
export async function more(): Promise<void> {
  if (!older.value) return
  const page = await call<Page>(older.value)
  jobs.value = [...(jobs.value ?? []), ...page.jobs]
  older.value = page.next
}

/** Reads all of one job. */
export async function look(id: string): Promise<void> {
  try {
    put(await call<Job>(`/jobs/${id}`))
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error
    drop(id)
  }
}

/** Has a job converted that was waiting for its options. */
export async function convert(id: string, options: Record<string, string | number>): Promise<void> {
  put(await call<Job>(`/jobs/${id}/convert`, json(options)))
}

/** Removes a job, with its video and its MP3. */
export async function remove(id: string): Promise<void> {
  await call(`/jobs/${id}`, { method: 'DELETE' })
  drop(id)
}

/** A link to the MP3 that works without logging in. */
export const link = (id: string) => call<{ url: string; expires_at: string }>(`/jobs/${id}/links`, json({}))

function put(job: Job): void {
  const others = jobs.value ?? []
  jobs.value = others.some(({ id }) => id === job.id)
    ? others.map((one) => (one.id === job.id ? { ...one, ...job } : one))
    : [job, ...others]
}

function drop(id: string): void {
  jobs.value = (jobs.value ?? []).filter((job) => job.id !== id)
}

const streams = new Map<string, EventSource>()

function tend(): void {
  const idle = document.hidden || !session.value || lost.value
  const wanted = idle
    ? []
    : (jobs.value ?? [])
        .filter(isMoving)
        .slice(0, STREAMS)
        .map(({ id }) => id)
  for (const [id, stream] of streams) {
    if (!wanted.includes(id)) {
      stream.close()
      streams.delete(id)
    }
  }
  for (const id of wanted) if (!streams.has(id)) follow(id)
}

function follow(id: string): void {
  // Of a connection that was lost, or has reached its nine minutes, the browser itself asks for the rest.
  const stream = new EventSource(`/jobs/${id}/events`)
  streams.set(id, stream)
  stream.addEventListener('progress', ({ data }) => apply(JSON.parse(data)))
  stream.addEventListener('error', () => {
    if (stream.readyState !== EventSource.CLOSED || streams.get(id) !== stream) return
    // It was refused, most likely because the session had ended: to look at the job renews that.
    const again = () => {
      streams.delete(id)
      tend()
    }
    look(id)
      .catch(() => {})
      .finally(() => setTimeout(again, REOPEN_MS))
  })
}

function apply({ id, state, percent, eta_s, error }: Progress): void {
  const job = jobs.value?.find((one) => one.id === id)
  if (state === 'deleted') drop(id)
  if (!job || state === 'deleted') return
  const changed = job.state !== state || state === 'waiting'
  put({ ...job, state, error, progress: { percent, eta_s } })
  if (!changed) return
  if (state === 'failed') announce(`${job.video.name} could not be converted. ${error?.message ?? ''}`)
  if (state === 'converted' || state === 'notified') announce(`${job.video.name} is converted.`)
  look(id).catch(() => {})
}

effect(tend)
document.addEventListener('visibilitychange', () => {
  tend()
  if (!document.hidden && session.value && jobs.value) refresh().catch(() => {})
})
setInterval(() => {
  const unseen = (jobs.value ?? []).filter((job) => isMoving(job) && !streams.has(job.id))
  if (unseen.length > 0 && !document.hidden && !lost.value) refresh().catch(() => {})
}, POLL_MS)
