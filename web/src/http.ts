/** An error as the server tells it (RFC 9457): a code that stays, and a sentence that says what to do. */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  /** The option that is at fault, or ''. */
  readonly option: string

  constructor(status: number, code: string, sentence: string, option = '') {
    super(sentence)
    this.status = status
    this.code = code
    this.option = option
  }
}

/** What went wrong when nothing came back. */
export const UNREACHABLE = 'The server cannot be reached. Please check your connection.'

/** One request of our own origin; its JSON, or undefined where it has no body. Throws a Problem. */
export async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response
  try {
    answer = await fetch(path, init)
  } catch {
    throw new Problem(0, 'unreachable', UNREACHABLE)
  }
  const text = await answer.text()
  if (!answer.ok) throw problemOf(answer.status, text)
  return (text ? JSON.parse(text) : undefined) as T
}

/** The problem that an answer's body describes. */
export function problemOf(status: number, body: string): Problem {
  try {
    const { code, detail, option } = JSON.parse(body)
    if (code && detail) return new Problem(status, code, detail, option)
  } catch {
    // A proxy in between has answered, not one of our functions.
  }
  return new Problem(status, 'unknown', `The server answered ${status}. Please try again in a minute.`)
}

/** The sentence of any error. */
export const sentence = (error: unknown): string =>
  error instanceof Problem ? error.message : 'Something went wrong on this page. Please load it again.'

/** A request with a JSON body. */
export const json = (body: unknown, method = 'POST'): RequestInit => ({
  method,
  body: JSON.stringify(body),
  headers: { 'Content-Type': 'application/json' },
})
