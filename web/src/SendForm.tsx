import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { announce } from './announce'
import { objection } from './chosen'
import { Failure } from './Failure'
import { Complaints, goTo, invalid } from './Field'
import { bytes, plural } from './format'
import { Problem, sentence } from './http'
import { Options } from './Options'
import { Picker } from './Picker'
import { call } from './session'
import { isBegun, send } from './uploads'
import { conflicts, type Wishes, wishes } from './wishes'

/** Chooses videos and how they are converted, and sends them. */
export function SendForm() {
  const [files, setFiles] = useState<File[]>([])
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState('')
  const [complaints, setComplaints] = useState<Wishes>({})
  const form = useRef<HTMLFormElement>(null)
  const picker = useRef<HTMLInputElement>(null)
  const submitter = useRef<HTMLButtonElement>(null)

  const add = useCallback(async (chosen: File[], folders: string[]) => {
    const begun = await Promise.all(chosen.map(isBegun))
    const resumed = chosen.filter((_, index) => begun[index])
    const added = chosen.filter((file, index) => !begun[index] && !objection(file))
    if (resumed.length > 0) await send(resumed, {})
    setFiles((before) => [...before, ...added])
    const closed = folders.map((name) => `${name} is a folder. Please open it, and choose the videos in it.`)
    setError([...closed, ...chosen.map(objection)].filter(Boolean).join(' '))
    if (added.length > 0) announce(`${plural(added.length, 'video')} chosen.`)
  }, [])
  useEffect(() => {
    if (files.length > 0) submitter.current?.focus()
  }, [files])
  useEffect(() => {
    if (form.current) goTo(form.current, Object.keys(complaints))
  }, [complaints])

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const filled = event.currentTarget as HTMLFormElement
    const wanted = wishes(new FormData(filled))
    const picture = pictureIn(filled)
    const wrong = { ...conflicts(wanted, picture), ...invalid(filled) }
    setComplaints(wrong)
    setError('')
    if (Object.keys(wrong).length > 0) return
    setBusy(true)
    try {
      await send(files, picture ? { ...wanted, cover: await coverOf(picture) } : wanted)
      setFiles([])
      announce('Sending begins.')
      picker.current?.focus()
    } catch (reason) {
      const field = fieldOf(reason)
      if (filled.elements.namedItem(field)) setComplaints({ [field]: sentence(reason) })
      else setError(sentence(reason))
    }
    setBusy(false)
  }

  return (
    <form ref={form} class="card" aria-label="Send videos" noValidate onSubmit={submit}>
      <Picker label={files.length > 0 ? 'Choose more videos' : 'Choose videos'} input={picker} onChosen={add} />
      <Failure text={error} />
      {files.length > 0 && (
        <>
          <ul class="chosen">
            {files.map((file) => (
              <li key={file}>
                <span class="name">{file.name}</span>
                <span class="hint">{bytes(file.size)}</span>
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Remove ${file.name}`}
                  onClick={() => setFiles(files.filter((one) => one !== file))}
                >
                  Remove
                </button>
              </li>
            ))}
          </ul>
          <Complaints.Provider value={complaints}>
            <Options />
          </Complaints.Provider>
          <button ref={submitter} type="submit" class="main" disabled={busy}>
            Send {plural(files.length, 'video')}
          </button>
        </>
      )}
    </form>
  )
}

function fieldOf(reason: unknown): string {
  if (!(reason instanceof Problem)) return ''
  return reason.code.startsWith('cover_') ? 'picture' : reason.option
}

function pictureIn(form: HTMLFormElement): File | null {
  const picture = new FormData(form).get('picture')
  return picture instanceof File && picture.size > 0 ? picture : null
}

/** Sends a picture; the id to ask for it as a cover. */
async function coverOf(picture: File): Promise<string> {
  const init = { method: 'POST', body: picture, headers: { 'Content-Type': picture.type } }
  return (await call<{ id: string }>('/covers', init)).id
}
