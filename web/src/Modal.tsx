import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'

interface Props {
  label: string
  children: ComponentChildren
  /** Called when the person closes it; without it they cannot. */
  onClose?: () => void
}

/** A dialog over the page, which keeps the focus as long as it is there and gives it back. */
export function Modal({ label, children, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  useLayoutEffect(() => {
    const shown = dialog.current
    shown?.showModal()
    // Before it is taken away: then it gives the focus back.
    return () => shown?.close()
  }, [])
  const close = (event: Event) => {
    event.preventDefault()
    onClose?.()
  }
  return (
    <dialog ref={dialog} aria-label={label} onCancel={close}>
      {children}
    </dialog>
  )
}
