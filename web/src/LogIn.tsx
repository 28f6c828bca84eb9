import { useRef, useState } from 'preact/hooks'
import { Failure } from './Failure'
import { Problem, sentence } from './http'
import { logIn, register } from './session'

/** Logs in, or registers and logs in; `known` is whom it must be. */
export function LogIn({ known }: { known?: string }) {
  const [isNew, setNew] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState('')
  const password = useRef<HTMLInputElement>(null)

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    const [address, secret] = [String(form.get('email')), String(form.get('password'))]
    setBusy(true)
    setError('')
    try {
      if (isNew) await register(address, secret)
      await logIn(address, secret)
    } catch (reason) {
      setBusy(false)
      setError(sentence(reason))
      if (reason instanceof Problem && reason.code === 'email_taken') setNew(false)
      password.current?.focus()
    }
  }
  const change = (toNew: boolean) => {
    setNew(toNew)
    setError('')
  }

  return (
    <form class="card login" onSubmit={submit}>
      {!known && <h2>{isNew ? 'Create an account' : 'Log in'}</h2>}
      <label>
        Mail address
        <input name="email" type="email" autocomplete="username" required value={known} readOnly={Boolean(known)} />
      </label>
      <label>
        Password
        <input
          ref={password}
          name="password"
          type="password"
          autocomplete={isNew ? 'new-password' : 'current-password'}
          required
          aria-describedby={isNew ? 'password-hint' : undefined}
        />
      </label>
      {isNew && (
        <p id="password-hint" class="hint">
          At least ten characters. A few words that only you put together are best.
        </p>
      )}
      <Failure text={error} />
      <button type="submit" class="main" disabled={busy}>
        {isNew ? 'Create account' : 'Log in'}
      </button>
      {!known && (
        <button type="button" class="link" onClick={() => change(!isNew)}>
          {isNew ? 'I have an account already' : 'I am new here'}
        </button>
      )}
    </form>
  )
}
