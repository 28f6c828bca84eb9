/** Videos on their way to the server, by tus (tus.io/protocols/resumable-upload). */
import { signal } from '@preact/signals'
import { type DetailedError, defaultOptions, type PreviousUpload, Upload } from 'tus-js-client'
import { announce } from './announce'
import { percent } from './format'
import { Problem, problemOf, sentence, UNREACHABLE } from './http'
import { look } from './jobs'
import { held, hold } from './locks'
import { call, email, fresh, renew } from './session'
import { Speed } from './speed'

export type Phase = 'queued' | 'sending' | 'paused' | 'reconnecting' | 'failed'
/** An upload of an earlier visit; the browser does not keep the file itself. */
export interface Unfinished {
  key: string
  url: string
  name: string
  size: number
  sent: number
  expires: string | null
}

/** A request ends after ten minutes at the latest: even a line of 30 kB/s sends this much in that time. */
const CHUNK_BYTES = 16 * 1024 * 1024
const AT_ONCE = 2
/** Refusals that pass by themselves. */
const PASSING = ['too_slow', 'too_many_at_once']
const WAITS_MS = [1_000, 2_000, 5_000, 10_000]
const TRY_AGAIN_MS = 2_000
const TOLD_EVERY = 25
const ENDPOINT = '/uploads/'
const TUS = { 'Tus-Resumable': '1.0.0' }
const storage = defaultOptions.urlStorage

/** What is being sent from this tab. */
export const sendings = signal<Sending[]>([])
/** What earlier visits have left. */
export const unfinished = signal<Unfinished[]>([])

/** One file on its way. */
export class Sending {
  readonly phase = signal<Phase>('queued')
  readonly sent = signal(0)
  readonly error = signal('')
  readonly speed = new Speed()
  readonly file: File
  private readonly upload: Upload
  private waits = 0
  private told = 0
  private answer = (_: Problem | null) => {}
  /** How the server takes it: null where it does, or cannot be asked just now. */
  readonly answered = new Promise<Problem | null>((resolve) => {
    this.answer = resolve
  })
  private held: Promise<() => void> = Promise.resolve(() => {})

  constructor(file: File, options: Record<string, string>, earlier: PreviousUpload | null) {
    this.file = file
    this.upload = new Upload(file, {
      endpoint: ENDPOINT,
      chunkSize: CHUNK_BYTES,
      // Here we decide ourselves: a lost connection waits for the next one, however long that takes.
      retryDelays: null,
      metadata: { ...options, filename: file.name },
      fingerprint: async () => fingerprint(file),
      removeFingerprintOnSuccess: true,
      onBeforeRequest: fresh,
      onUploadUrlAvailable: () => this.hold(),
      onProgress: (sent) => this.progressed(sent),
      onSuccess: () => this.arrived(),
      onError: (error) => this.stumbled(error),
    })
    if (!earlier) return
    this.upload.resumeFromPreviousUpload(earlier)
    this.hold()
  }

  /** Where it goes, once the server has said so. */
  get url(): string | null {
    return this.upload.url
  }

  /** Begins, or goes on where it stopped. */
  start(): void {
    this.speed.reset()
    this.phase.value = 'sending'
    this.upload.start()
  }

  /** Stops for now. */
  async pause(): Promise<void> {
    this.phase.value = 'paused'
    this.answer(null)
    await this.upload.abort()
    pump()
  }

  /** Goes on when there is room. */
  resume(): void {
    this.phase.value = 'queued'
    pump()
  }

  /** Gives it up, here and on the server. */
  async cancel(): Promise<void> {
    await this.pause()
    try {
      if (this.url) await giveUp(this.url)
      this.forget()
    } catch (reason) {
      this.error.value = sentence(reason)
    }
  }

  private hold(): void {
    // An upload that the server no longer knows is begun anew by us, not behind our back: a 401 is no reason for that.
    this.upload.options.endpoint = null
    this.answer(null)
    this.release()
    // So that other tabs do not take it for one that was left behind.
    this.held = hold(lockOf(this.upload.url ?? ''))
  }

  private release(): void {
    this.held.then((stop) => stop())
  }

  private progressed(sent: number): void {
    this.waits = 0
    this.sent.value = sent
    this.speed.note(sent, Date.now())
    const share = percent(sent / this.file.size)
    if (share - this.told < TOLD_EVERY || share >= 100) return
    this.told = share - (share % TOLD_EVERY)
    announce(`${this.file.name}: ${this.told} percent sent.`)
  }

  private arrived(): void {
    announce(`${this.file.name} has arrived.`)
    this.becomeJob(this.upload.url?.split('/').at(-1) ?? '')
  }

  private becomeJob(id: string): void {
    look(id).then(
      () => this.forget(),
      () => setTimeout(() => this.becomeJob(id), TRY_AGAIN_MS),
    )
  }

  private async stumbled(error: Error | DetailedError): Promise<void> {
    if (this.phase.value !== 'sending') return
    const answer = 'originalResponse' in error ? error.originalResponse : null
    const status = answer?.getStatus() ?? 0
    if (status === 401) {
      return renew().then(
        () => this.again(),
        () => this.wait(UNREACHABLE),
      )
    }
    if (status === 404 || status === 410) return this.anew()
    if (status === 0) return this.wait(UNREACHABLE)
    const problem = problemOf(status, answer?.getBody() ?? '')
    if (PASSING.includes(problem.code) || status === 409 || status === 423 || status >= 500)
      return this.wait(problem.message)
    this.phase.value = 'failed'
    this.error.value = problem.message
    this.answer(problem)
    announce(`${this.file.name} could not be sent. ${problem.message}`)
    pump()
  }

  private wait(reason: string): void {
    this.phase.value = 'reconnecting'
    this.answer(null)
    this.error.value = reason
    const over = new AbortController()
    const again = () => {
      over.abort()
      clearTimeout(timer)
      this.again()
    }
    const timer = setTimeout(again, WAITS_MS[Math.min(this.waits, WAITS_MS.length - 1)])
    addEventListener('online', again, { signal: over.signal })
    this.waits += 1
  }

  private again(): void {
    if (this.phase.value === 'reconnecting' || this.phase.value === 'sending') this.start()
  }

  private anew(): void {
    this.release()
    this.upload.url = null
    this.upload.options.endpoint = ENDPOINT
    this.again()
  }

  private forget(): void {
    this.release()
    sendings.value = sendings.value.filter((one) => one !== this)
    pump()
  }
}

/**
 * Sends files with these options; one that an earlier visit has begun goes on as it was begun.
 *
 * Throws the Problem of a wrong option, and then none is sent.
 */
export async function send(files: File[], options: Record<string, string>): Promise<void> {
  const begun = await Promise.all(files.map(async (file) => new Sending(file, options, await earlier(file))))
  sendings.value = [...sendings.value, ...begun]
  pump()
  const first = begun[0]
  const refusal = first?.phase.value === 'queued' ? null : await first?.answered
  if (refusal?.option) {
    sendings.value = sendings.value.filter((one) => !begun.includes(one))
    throw refusal
  }
  await lookForUnfinished()
}

/** Goes on with an unfinished upload; false where the file is another one. */
export async function goOn(left: Unfinished, file: File): Promise<boolean> {
  if ((await earlier(file))?.urlStorageKey !== left.key) return false
  await send([file], {})
  return true
}

/** Whether an earlier visit has begun to send this file. */
export const isBegun = async (file: File): Promise<boolean> => (await earlier(file)) !== null

/** Removes an unfinished upload. */
export async function abandon(left: Unfinished): Promise<void> {
  await giveUp(left.url)
  await lookForUnfinished()
}

/** Finds out what earlier visits have left, and how far each has come. */
export async function lookForUnfinished(): Promise<void> {
  const mine = (await storage.findAllUploads()).filter((one) => one.urlStorageKey.startsWith(`tus::${owner()}`))
  unfinished.value = (await Promise.all((await idle(mine)).map(progressOf))).filter((one) => one !== null)
}

async function progressOf({
  urlStorageKey: key,
  uploadUrl,
  metadata,
  size,
}: PreviousUpload): Promise<Unfinished | null> {
  const url = uploadUrl ?? ''
  await fresh()
  const answer = await fetch(url, { method: 'HEAD', headers: TUS })
  const sent = Number(answer.headers.get('Upload-Offset'))
  const over = answer.status === 404 || answer.status === 410 || sent === size
  if (over) await storage.removeUpload(key)
  if (over || !answer.ok) return null
  const expires = answer.headers.get('Upload-Expires')
  return { key, url, name: metadata.filename ?? '', size: size ?? 0, sent, expires }
}

async function earlier(file: File): Promise<PreviousUpload | null> {
  return (await idle(await storage.findUploadsByFingerprint(fingerprint(file)))).at(-1) ?? null
}

/** Those that no tab is sending. */
async function idle(uploads: PreviousUpload[]): Promise<PreviousUpload[]> {
  const elsewhere = await held()
  const here = sendings.value.map(({ url }) => url)
  return uploads.filter(({ uploadUrl: url }) => url && !here.includes(url) && !elsewhere.includes(lockOf(url)))
}

/** Removes an upload from the server, and what is kept of it here. */
async function giveUp(url: string): Promise<void> {
  await call(url, { method: 'DELETE', headers: TUS }).catch((error) => {
    if (!(error instanceof Problem) || (error.status !== 404 && error.status !== 410)) throw error
  })
  const kept = (await storage.findAllUploads()).filter(({ uploadUrl }) => uploadUrl === url)
  await Promise.all(kept.map(({ urlStorageKey }) => storage.removeUpload(urlStorageKey)))
}

function pump(): void {
  const busy = sendings.value.filter(({ phase }) => phase.value === 'sending' || phase.value === 'reconnecting').length
  const queued = sendings.value.filter(({ phase }) => phase.value === 'queued')
  for (const sending of queued.slice(0, Math.max(0, AT_ONCE - busy))) sending.start()
}

const lockOf = (url: string): string => `upload ${url}`
const owner = (): string => `${email.value} `
const fingerprint = ({ name, size, lastModified }: File): string => `${owner()}${name} ${size} ${lastModified}`
