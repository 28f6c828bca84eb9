import type { RefObject } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { ACCEPTED, dropped } from './chosen'

interface Props {
  label: string
  input: RefObject<HTMLInputElement | null>
  /** Called with files, and with the names of folders that were dropped. */
  onChosen: (files: File[], folders: string[]) => void
}

/** Chooses videos: by a click, a key, or a drop anywhere on the page. */
export function Picker({ label, input, onChosen }: Props) {
  const [over, setOver] = useState(false)
  useEffect(() => {
    const drag = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      setOver(event.type === 'dragover')
      if (event.type !== 'drop') return
      const { files, folders } = dropped(event.dataTransfer)
      onChosen(files, folders)
    }
    const kinds = ['dragover', 'dragleave', 'drop'] as const
    for (const kind of kinds) addEventListener(kind, drag)
    return () => {
      for (const kind of kinds) removeEventListener(kind, drag)
    }
  }, [onChosen])

  const choose = (from: HTMLInputElement) => {
    onChosen([...(from.files ?? [])], [])
    // So that the same file can be chosen again.
    from.value = ''
  }
  return (
    <label class={over ? 'drop over' : 'drop'}>
      <strong>{label}</strong>
      <span>or drop them anywhere on this page</span>
      <input
        ref={input}
        class="unseen"
        type="file"
        multiple
        accept={ACCEPTED}
        onChange={({ currentTarget }) => choose(currentTarget)}
      />
    </label>
  )
}
