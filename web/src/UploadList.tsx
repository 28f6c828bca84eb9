import { useState } from 'preact/hooks'
import { Failure } from './Failure'
import { bytes, day, percent, timeLeft } from './format'
import { sentence } from './http'
import { Item } from './Item'
import { abandon, goOn, type Sending, sendings, type Unfinished, unfinished } from './uploads'

/** What is being sent, and what earlier visits have left unfinished. */
export function UploadList() {
  if (sendings.value.length === 0 && unfinished.value.length === 0) return null
  return (
    <section aria-labelledby="uploads">
      <h2 id="uploads">On the way</h2>
      <ul class="list">
        {sendings.value.map((sending) => (
          <SendingItem key={sending} sending={sending} />
        ))}
        {unfinished.value.map((left) => (
          <UnfinishedItem key={left.key} left={left} />
        ))}
      </ul>
    </section>
  )
}

function SendingItem({ sending }: { sending: Sending }) {
  const { name, size } = sending.file
  const phase = sending.phase.value
  return (
    <Item name={name} action={phase === 'failed' ? 'Remove' : 'Cancel'} onAction={() => sending.cancel()}>
      <progress aria-label={`Sending ${name}`} max={size} value={sending.sent.value} />
      <p class="line">
        <span>{standing(sending)}</span>
        <span class="hint">
          {bytes(sending.sent.value)} of {bytes(size)}
        </span>
      </p>
      {sending.error.value && phase !== 'sending' && <p class="error">{sending.error.value}</p>}
      <div class="actions">
        {(phase === 'sending' || phase === 'reconnecting') && (
          <button type="button" aria-label={`Pause ${name}`} onClick={() => sending.pause()}>
            Pause
          </button>
        )}
        {phase === 'paused' && (
          <button type="button" aria-label={`Resume ${name}`} onClick={() => sending.resume()}>
            Resume
          </button>
        )}
      </div>
    </Item>
  )
}

function standing({ phase, sent, speed, file }: Sending): string {
  const share = `${percent(sent.value / file.size)} %`
  const rate = speed.perSecond
  switch (phase.value) {
    case 'queued':
      return 'Waits for its turn'
    case 'sending':
      return rate > 0 ? `${share}, ${bytes(rate)}/s, ${timeLeft((file.size - sent.value) / rate)}` : share
    case 'paused':
      return `Paused at ${share}`
    case 'reconnecting':
      return `Stopped at ${share}, goes on by itself`
    case 'failed':
      return 'Could not be sent'
  }
}

function UnfinishedItem({ left }: { left: Unfinished }) {
  const [error, setError] = useState('')
  const told = (reason: unknown) => setError(sentence(reason))
  const { name, size, sent, expires } = left
  const choose = async (input: HTMLInputElement) => {
    const file = input.files?.[0]
    input.value = ''
    if (!file) return
    const same = await goOn(left, file)
    if (!same) setError(`That is not ${name} as it was, with ${bytes(size)}. Please choose the same file.`)
  }
  return (
    <Item name={name} action="Give up" onAction={() => abandon(left).catch(told)}>
      <progress aria-label={`Sent of ${name}`} max={size} value={sent} />
      <p class="line">
        <span>Stopped at {percent(sent / size)} %</span>
        <span class="hint">
          {bytes(sent)} of {bytes(size)}
          {expires && `, kept until ${day(expires)}`}
        </span>
      </p>
      <p class="hint">
        Your browser does not keep the file itself. Please choose it once more, and it goes on where it stopped.
      </p>
      <Failure text={error} />
      <div class="actions">
        <label class="button">
          Choose {name}
          <input
            class="unseen"
            type="file"
            onChange={({ currentTarget }) => {
              choose(currentTarget).catch(told)
            }}
          />
        </label>
      </div>
    </Item>
  )
}
