import { useEffect, useRef } from 'preact/hooks'
import WaveSurfer from 'wavesurfer.js'
import { Problem } from './http'
import type { Job } from './jobs'
import { call } from './session'

interface Waveform {
  bits: 8
  data: number[]
}

const TRY_AGAIN_MS = 2_000
const HEIGHT_PX = 56
const DARK = matchMedia('(prefers-color-scheme: dark)')

/** Plays a job's MP3 while it arrives, beside its waveform. The browser's own controls do it all; the waveform is extra. */
export default function Player({ job }: { job: Job }) {
  const audio = useRef<HTMLAudioElement>(null)
  const picture = useRef<HTMLDivElement>(null)
  useEffect(() => {
    audio.current?.focus()
    const gone = new AbortController()
    peaks(job.id, gone.signal).then(
      (found) => draw(found, gone.signal),
      () => {}, // There is none of this one: the controls do without.
    )
    return () => gone.abort()
  }, [job.id])

  const draw = (found: number[], gone: AbortSignal) => {
    if (gone.aborted || !picture.current || !audio.current) return
    const wave = WaveSurfer.create({
      container: picture.current,
      media: audio.current,
      // With these it has no reason to fetch the MP3.
      peaks: [found],
      duration: job.audio?.duration_s ?? 0,
      height: HEIGHT_PX,
      ...colours(),
      barWidth: 2,
      barGap: 1,
      barRadius: 1,
      normalize: true,
    })
    gone.addEventListener('abort', () => wave.destroy())
    DARK.addEventListener('change', () => wave.setOptions(colours()), { signal: gone })
  }

  return (
    <div class="player">
      <div ref={picture} class="waveform" aria-hidden="true" />
      {/* biome-ignore lint/a11y/useMediaCaption: it is the sound of a video that has none of its own. */}
      <audio ref={audio} controls preload="metadata" src={job.links.audio} aria-label={`Sound of ${job.video.name}`} />
    </div>
  )
}

function colours() {
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  return { waveColor: colour('--line'), progressColor: colour('--accent'), cursorColor: colour('--text') }
}

/** The peaks from -1 to 1, once they are there: that takes some seconds after the conversion. */
async function peaks(id: string, gone: AbortSignal): Promise<number[]> {
  for (;;) {
    try {
      const { data } = await call<Waveform>(`/jobs/${id}/waveform`, { signal: gone })
      return data.map((value) => value / 128)
    } catch (error) {
      if (gone.aborted || !(error instanceof Problem) || error.code !== 'waveform_not_ready') throw error
    }
    await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS))
  }
}
