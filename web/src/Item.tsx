import type { ComponentChildren } from 'preact'

interface Props {
  name: string
  /** How the quiet button beside the name is called. */
  action: string
  onAction: () => void
  children: ComponentChildren
}

/** A video in one of the lists. */
export function Item({ name, action, onAction, children }: Props) {
  return (
    <li class="card item">
      <div class="head">
        <h3 class="name">{name}</h3>
        <button type="button" class="quiet" aria-label={`${action} ${name}`} onClick={onAction}>
          {action}
        </button>
      </div>
      {children}
    </li>
  )
}
