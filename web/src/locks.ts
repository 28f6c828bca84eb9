/**
 * What tabs tell each other by the locks that they hold (w3.org/TR/web-locks). There are none on http:// off this machine:
 * there nothing is held.
 */

/** Holds a name until what it resolves to is called, or the tab is gone. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held) => {
    if (!navigator.locks) held(() => {})
    navigator.locks?.request(name, { mode: 'shared' }, () => new Promise<void>((release) => held(release)))
  })
}

/** All names that this tab or another one holds. */
export async function held(): Promise<string[]> {
  const { held = [] } = (await navigator.locks?.query()) ?? {}
  return held.map(({ name }) => name ?? '')
}
