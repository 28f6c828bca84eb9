import { useEffect, useState } from 'preact/hooks'
import { Failure } from './Failure'
import { bytes, plural } from './format'
import { sentence } from './http'
import { Modal } from './Modal'
import { call, deleteAccount, email } from './session'

interface Me {
  limits: { storage_bytes: number; jobs: number; minutes: number }
  used: { storage_bytes: number; jobs: number; minutes: number }
  retention: { job_s: number; video_s: number }
}

const DAY_S = 86_400

/** What the account may take and takes, and the way out of it. */
export function Account({ onClose }: { onClose: () => void }) {
  const [me, setMe] = useState<Me | null>(null)
  const [leaving, setLeaving] = useState(false)
  const [error, setError] = useState('')
  useEffect(() => {
    call<Me>('/me').then(setMe, (reason) => setError(sentence(reason)))
  }, [])
  if (leaving) return <Leave onClose={onClose} />
  return (
    <Modal label="Your account" onClose={onClose}>
      <h2 class="name">{email}</h2>
      {me && <Used me={me} />}
      <Failure text={error} />
      <div class="actions">
        <button type="button" onClick={onClose}>
          Close
        </button>
        <button type="button" class="danger" onClick={() => setLeaving(true)}>
          Delete the account
        </button>
      </div>
    </Modal>
  )
}

function Used({ me: { limits, used, retention } }: { me: Me }) {
  const stored = Math.min(1, used.storage_bytes / Math.max(1, limits.storage_bytes))
  return (
    <>
      <label>
        {bytes(used.storage_bytes)} of {bytes(limits.storage_bytes)} for videos and MP3s
        <progress value={stored} />
      </label>
      <p>
        {plural(used.minutes, 'minute')} of sound in the last 24 hours, of {limits.minutes} at most
      </p>
      <p class="hint">
        An MP3 is kept for {kept(retention.job_s)}, its video for {kept(retention.video_s)} once the MP3 is there.
      </p>
    </>
  )
}

function Leave({ onClose }: { onClose: () => void }) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState('')
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    setBusy(true)
    setError('')
    try {
      await deleteAccount(String(form.get('password')))
    } catch (reason) {
      setBusy(false)
      setError(sentence(reason))
    }
  }
  return (
    <Modal label="Delete the account" onClose={onClose}>
      <h2>Delete the account?</h2>
      <p>All videos, MP3s and links go with it, also what is on its way. This cannot be undone.</p>
      <form onSubmit={submit}>
        <label>
          Mail address
          <input name="email" type="email" autocomplete="username" value={email} readOnly />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <Failure text={error} />
        <div class="actions">
          <button type="button" onClick={onClose}>
            Keep it
          </button>
          <button type="submit" class="danger" disabled={busy}>
            Delete all of it
          </button>
        </div>
      </form>
    </Modal>
  )
}

const kept = (seconds: number): string =>
  seconds < DAY_S ? plural(Math.max(1, Math.round(seconds / 3600)), 'hour') : plural(Math.round(seconds / DAY_S), 'day')
