import { useState } from 'preact/hooks'
import { Failure } from './Failure'
import { sentence } from './http'
import { JobItem } from './JobItem'
import { jobs, more, older } from './jobs'

/** All jobs, the newest first. */
export function JobList() {
  const [error, setError] = useState('')
  if (jobs.value === null) return <p class="hint">One moment…</p>
  return (
    <section aria-labelledby="jobs">
      <h2 id="jobs" tabIndex={-1}>
        Your sound
      </h2>
      {jobs.value.length === 0 && <p class="empty">Nothing here yet. Your MP3s appear here, and stay for a week.</p>}
      <ul class="list">
        {jobs.value.map((job) => (
          <JobItem key={job.id} job={job} />
        ))}
      </ul>
      {older.value && (
        <button type="button" onClick={() => more().catch((reason) => setError(sentence(reason)))}>
          Show older ones
        </button>
      )}
      <Failure text={error} />
    </section>
  )
}
