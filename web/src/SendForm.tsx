import { useEffect, useRef, useState } from 'preact/hooks'
import { announce } from './announce'
import { bytes, plural } from './format'
import { sentence } from './http'
import { Options } from './Options'
import { call } from './session'
import { isBegun, send } from './uploads'

/** Chooses videos, by a click, a key or a drop anywhere on the page, and how they are converted. */
export function SendForm() {
  const [files, setFiles] = useState<File[]>([])
  const [over, setOver] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState('')
  const picker = useRef<HTMLInputElement>(null)
  const submitter = useRef<HTMLButtonElement>(null)

  const add = async (list: FileList | null) => {
    const chosen = [...(list ?? [])]
    const begun = await Promise.all(chosen.map(isBegun))
    const resumed = chosen.filter((_, index) => begun[index])
    const added = chosen.filter((file, index) => !begun[index] && file.size > 0)
    if (resumed.length > 0) await send(resumed, {})
    setFiles((before) => [...before, ...added])
    const empty = chosen.find((file) => file.size === 0)
    setError(empty ? `${empty.name} is empty. Please check it and choose it again.` : '')
    if (added.length > 0) {
      announce(`${plural(added.length, 'video')} chosen.`)
    }
  }
  useEffect(() => {
    if (files.length > 0) submitter.current?.focus()
  }, [files])

  useEffect(() => {
    const drag = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      setOver(event.type === 'dragover')
      if (event.type === 'drop') add(event.dataTransfer.files)
    }
    const kinds = ['dragover', 'dragleave', 'drop'] as const
    for (const kind of kinds) addEventListener(kind, drag)
    return () => {
      for (const kind of kinds) removeEventListener(kind, drag)
    }
  }, [])

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    setBusy(true)
    setError('')
    try {
      await send(files, await wishes(new FormData(event.currentTarget as HTMLFormElement)))
      setFiles([])
      announce('Sending begins.')
      picker.current?.focus()
    } catch (reason) {
      setError(sentence(reason))
    }
    setBusy(false)
  }

  return (
    <form class="card" aria-label="Send videos" onSubmit={submit}>
      <label class={over ? 'drop over' : 'drop'}>
        <strong>{files.length > 0 ? 'Choose more videos' : 'Choose videos'}</strong>
        <span>or drop them anywhere on this page</span>
        <input
          ref={picker}
          class="unseen"
          type="file"
          multiple
          accept="video/*,audio/*,.mkv,.ts,.m2ts,.flv,.vob,.mxf"
          onChange={({ currentTarget }) => {
            add(currentTarget.files).then(() => {
              currentTarget.value = ''
            })
          }}
        />
      </label>
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
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
          <Options />
          <button ref={submitter} type="submit" class="main" disabled={busy}>
            Send {plural(files.length, 'video')}
          </button>
        </>
      )}
    </form>
  )
}

/** The form's options as the server takes them; a picture is sent first, and named by its id. */
async function wishes(form: FormData): Promise<Record<string, string>> {
  const picture = form.get('picture')
  form.delete('picture')
  const options = Object.fromEntries([...form].flatMap(([name, value]) => (value ? [[name, String(value)]] : [])))
  if (options.cover === 'own') {
    delete options.cover
    if (picture instanceof File && picture.size > 0) {
      const { id } = await call<{ id: string }>('/covers', {
        method: 'POST',
        body: picture,
        headers: { 'Content-Type': picture.type },
      })
      options.cover = id
    }
  }
  return options
}
