import { useEffect, useState } from 'preact/hooks'
import { Account } from './Account'
import { told } from './announce'
import { Failure } from './Failure'
import { sentence } from './http'
import { JobList } from './JobList'
import { refresh } from './jobs'
import { LogIn } from './LogIn'
import { Modal } from './Modal'
import { SendForm } from './SendForm'
import { email, logOut, lost, session } from './session'
import { UploadList } from './UploadList'
import { lookForUnfinished } from './uploads'

export function App() {
  return (
    <>
      <p class="unseen" role="status">
        {told}
      </p>
      {session.value ? <Home /> : <Welcome />}
      {session.value && lost.value && (
        <Modal label="Log in again">
          <h2>Please log in again</h2>
          <p>Your login has ended. Nothing is lost: uploads wait, and go on when you are back.</p>
          <LogIn known={email.value} />
        </Modal>
      )}
    </>
  )
}

function Welcome() {
  return (
    <main class="welcome">
      <h1 class="brand">Audiolift</h1>
      <p class="lead">Send a video, get its sound back as an MP3.</p>
      <LogIn />
      <ForPrograms />
    </main>
  )
}

function Home() {
  const [error, setError] = useState('')
  const [account, setAccount] = useState(false)
  useEffect(() => {
    Promise.all([refresh(), lookForUnfinished()]).catch((reason) => setError(sentence(reason)))
  }, [])
  return (
    <>
      <header class="bar">
        <h1 class="brand">Audiolift</h1>
        <button type="button" class="who" onClick={() => setAccount(true)} aria-label={`Account of ${email}`}>
          {email}
        </button>
        <button type="button" class="quiet" onClick={() => logOut().catch((reason) => setError(sentence(reason)))}>
          Log out
        </button>
      </header>
      {account && <Account onClose={() => setAccount(false)} />}
      <main class="home">
        <Failure text={error} />
        <SendForm />
        <UploadList />
        <JobList />
        <ForPrograms />
      </main>
    </>
  )
}

function ForPrograms() {
  return (
    <p class="hint">
      All of this can be done by programs, too: <a href="/docs">the API</a>
    </p>
  )
}
