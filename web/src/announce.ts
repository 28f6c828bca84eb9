import { signal } from '@preact/signals'

/** What a screen reader is told next; changes that can be seen by all are not told twice. */
export const told = signal('')

/** Tells it, also where it is the same as before. */
export function announce(text: string): void {
  told.value = told.value === text ? `${text}\u00a0` : text
}
