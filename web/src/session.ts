/**
 * Who is logged in. The tokens are cookies that no script can read; what is kept here says only whose they are and when
 * to renew them, and is shared by all tabs.
 */
import { computed, effect, signal } from '@preact/signals'
import { json, Problem, request } from './http'
import { held, hold } from './locks'

interface Session {
  email: string
  renewAt: number
}
interface Answer {
  email: string
  expires_in: number
}

const KEY = 'session'
const RENEW_AFTER = 0.75
const GOOD_UNTIL = 'session is good until '
let tell: Promise<() => void> | null = null

/** The session, or null where nobody has logged in. */
export const session = signal<Session | null>(stored())
/** The session has ended by itself: what the person was doing waits until they have logged in again. */
export const lost = signal(false)
/** Whose things are shown. */
export const email = computed(() => session.value?.email ?? '')

/** Registers, without logging in. */
export const register = (address: string, password: string) => request('/register', json({ email: address, password }))

/** Begins a session. */
export async function logIn(address: string, password: string): Promise<void> {
  const answer = await request<Answer>('/session', { method: 'POST', headers: basic(address, password) })
  // What waits belongs to whoever was here before.
  if (session.value && session.value.email !== answer.email) location.reload()
  keep(answer)
}

/** Ends the session in all tabs, and forgets what is on the page. */
export async function logOut(): Promise<void> {
  await request('/session', { method: 'DELETE' }).catch((error) => {
    // Where it had ended by itself there is nothing left to end.
    if (error.status !== 401) throw error
  })
  localStorage.removeItem(KEY)
  location.reload()
}

/** Deletes the account of who is logged in, with all that it has. */
export async function deleteAccount(password: string): Promise<void> {
  await request('/account', { method: 'DELETE', headers: basic(email.value, password) })
  localStorage.removeItem(KEY)
  location.reload()
}

function basic(address: string, password: string): Record<string, string> {
  const credentials = new TextEncoder().encode(`${address}:${password}`)
  return { Authorization: `Basic ${btoa(String.fromCharCode(...credentials))}` }
}

/** A request as the person who is logged in; where the session has ended it waits for a new one. Throws a Problem. */
export async function call<T>(path: string, init?: RequestInit): Promise<T> {
  await fresh()
  try {
    return await request<T>(path, init)
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error
    await renew()
    return request<T>(path, init)
  }
}

/** Returns once there is a session that is good for a while. */
export async function fresh(): Promise<void> {
  if (!session.value || session.value.renewAt <= Date.now()) await renew()
}

/** Renews the session; where that cannot be done, returns after the next log-in. */
export async function renew(): Promise<void> {
  const known = session.value?.renewAt
  const renewed = await alone(async () => {
    // Another tab may have done it while this one waited for its turn.
    const newest = await goodUntil()
    if (session.value && newest !== known && newest > Date.now()) {
      session.value = { ...session.value, renewAt: newest }
      return true
    }
    try {
      keep(await request<Answer>('/session/refresh', { method: 'POST' }))
      await tell
      return true
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return false
      throw error
    }
  })
  if (renewed) return
  lost.value = true
  await until(() => !lost.value)
}

function keep(answer: Answer): void {
  const renewAt = Date.now() + answer.expires_in * 1000 * RENEW_AFTER
  session.value = { email: answer.email, renewAt }
  lost.value = false
  localStorage.setItem(KEY, JSON.stringify(session.value))
  tell?.then((stop) => stop())
  tell = hold(GOOD_UNTIL + renewAt)
}

/** As any tab knows it. What one has stored may reach another only after its turn has come; what it holds does not. */
async function goodUntil(): Promise<number> {
  const told = (await held()).filter((name) => name.startsWith(GOOD_UNTIL))
  return Math.max(stored()?.renewAt ?? 0, ...told.map((name) => Number(name.slice(GOOD_UNTIL.length))))
}

function stored(): Session | null {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? 'null')
  } catch {
    return null
  }
}

/** Only one tab at a time: two that renew at once look like a thief and its victim to the server. */
function alone<T>(work: () => Promise<T>): Promise<T> {
  // There are no locks on http:// off this machine; there the server's seconds of grace must do.
  return navigator.locks ? navigator.locks.request('session', work) : work()
}

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (!condition()) return
      // Not at once: the first run comes before there is a stop.
      queueMicrotask(() => {
        stop()
        resolve()
      })
    })
  })
}

// Players and downloads send the cookie without asking, so it is kept good as long as the page is open.
setInterval(() => {
  if (session.value && !lost.value && session.value.renewAt <= Date.now()) renew().catch(() => {})
}, 2_000)

addEventListener('storage', ({ key }) => {
  if (key !== KEY) return
  const now = stored()
  if (!now || (session.value && now.email !== session.value.email)) location.reload()
  else {
    session.value = now
    lost.value = false
  }
})
