import { useState } from 'preact/hooks'
import { Choice, Field, Text } from './Field'
import { BITRATES, DATE, LONGEST_FADE_S, SAMPLE_RATES, TEXT_LENGTH, TIME, TRACK_NUMBER } from './wishes'

const QUALITIES = [
  ['standard', 'Standard', 'Good for music and speech'],
  ['high', 'High', 'The largest files, 320 kb/s'],
  ['voice', 'Voice', 'Small files, mono'],
] as const
const BITRATE_CHOICES = [
  ['', 'As the quality says'],
  ['V0', 'Variable, best (V0)'],
  ['V2', 'Variable, very good (V2)'],
  ['V4', 'Variable, good (V4)'],
  ['V6', 'Variable, small (V6)'],
  ['V9', 'Variable, smallest (V9)'],
  ...BITRATES.toReversed().map((rate) => [`${rate}`, `${rate} kb/s`] as const),
] as const
const RATE_CHOICES = [...SAMPLE_RATES.keys()].map((rate) => [`${rate}`, `${rate / 1000} kHz`] as const)
/** What becomes of a video's chapters. */
export const CHAPTERS = [
  ['keep', 'Keep them in the MP3'],
  ['split', 'One MP3 for each, as a zip'],
  ['none', 'Leave them out'],
] as const

/** How videos are converted. The fields are named as the server names its options; an empty one is not sent. */
export function Options() {
  return (
    <>
      <fieldset class="qualities">
        <legend>Quality</legend>
        {QUALITIES.map(([value, name, hint]) => (
          <label key={value} class="quality">
            <input type="radio" name="quality" value={value} defaultChecked={value === 'standard'} />
            <span>
              {name}
              <span class="hint">{hint}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <label class="check">
        <input type="checkbox" name="hold" value="true" />
        <span>
          Let me choose the sound track first
          <span class="hint">We look at the video and wait for you: good for several languages.</span>
        </span>
      </label>
      <details>
        <summary>More options</summary>
        <Sound />
        <Part />
        <Tags />
      </details>
    </>
  )
}

function Sound() {
  return (
    <fieldset class="group">
      <legend>Sound</legend>
      <Choice name="bitrate" label="Bit rate" values={BITRATE_CHOICES} />
      <Choice name="sample_rate" label="Sample rate" values={[['', 'As the video has it'], ...RATE_CHOICES]} />
      <Choice
        name="channels"
        label="Channels"
        values={[
          ['', 'As the video has them'],
          ['2', 'Stereo'],
          ['1', 'Mono'],
        ]}
      />
      <Choice
        name="normalize"
        label="Loudness"
        values={[
          ['', 'As it is'],
          ['-14', 'Music services (-14 LUFS)'],
          ['-16', 'Podcast (-16 LUFS)'],
          ['-23', 'Broadcast (-23 LUFS)'],
        ]}
      />
    </fieldset>
  )
}

function Part() {
  const time = { pattern: TIME, title: 'Please write a time like 90, 1:30 or 1:02:03.' }
  return (
    <fieldset class="group short">
      <legend>Part</legend>
      <Text name="start" label="Start at" placeholder="0:00" {...time} />
      <Text name="end" label="End at" placeholder="the end" {...time} />
      <Seconds name="fade_in" label="Fade in (seconds)" />
      <Seconds name="fade_out" label="Fade out (seconds)" />
    </fieldset>
  )
}

function Seconds({ name, label }: { name: string; label: string }) {
  return (
    <Field name={name} label={label}>
      {(control) => <input {...control} type="number" min={0} max={LONGEST_FADE_S} step={0.1} placeholder="0" />}
    </Field>
  )
}

function Tags() {
  const own = { placeholder: "The video's", maxLength: TEXT_LENGTH }
  return (
    <fieldset class="group">
      <legend>Title, artist and the like</legend>
      <Text name="title" label="Title" {...own} />
      <Text name="artist" label="Artist" {...own} />
      <Text name="album" label="Album" {...own} />
      <Text name="album_artist" label="Album artist" {...own} />
      <Text
        name="date"
        label="Date"
        {...own}
        pattern={DATE}
        title="Please write it like 2026, 2026-11 or 2026-11-24."
      />
      <Text name="genre" label="Genre" {...own} />
      <Text
        name="track_number"
        label="Number in the album"
        {...own}
        pattern={TRACK_NUMBER}
        title="Please write it like 3, or 3/12 for the third of twelve."
      />
      <Text name="comment" label="Comment" {...own} />
      <Choice
        name="tags"
        label="The video's other tags"
        values={[
          ['', 'Keep them'],
          ['none', 'Leave them out'],
        ]}
      />
      <Choice name="chapters" label="Chapters" values={CHAPTERS} />
      <Cover />
    </fieldset>
  )
}

function Cover() {
  const [cover, setCover] = useState('')
  return (
    <>
      <Field name="cover" label="Cover">
        {(control) => (
          <select {...control} value={cover} onChange={({ currentTarget }) => setCover(currentTarget.value)}>
            <option value="">Keep the video's</option>
            <option value="own">A picture of mine</option>
            <option value="none">None</option>
          </select>
        )}
      </Field>
      {cover === 'own' && (
        <Field name="picture" label="Picture" hint="JPEG or PNG, up to 5 MB">
          {(control) => <input {...control} type="file" accept="image/jpeg,image/png" required />}
        </Field>
      )}
    </>
  )
}
