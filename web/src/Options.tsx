import { useState } from 'preact/hooks'

const QUALITIES = [
  ['standard', 'Standard', 'Good for music and speech'],
  ['high', 'High', 'The largest files, 320 kb/s'],
  ['voice', 'Voice', 'Small files, mono'],
] as const
const TIME = '(\\d{1,3}:)?(\\d{1,2}:)?\\d{1,6}(\\.\\d+)?'

/** How videos are converted. The fields are named as the server names its options; an empty one is not sent. */
export function Options() {
  const [cover, setCover] = useState('')
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
        <div class="grid">
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
              ['-16', 'Podcast (-16 LUFS)'],
              ['-23', 'Broadcast (-23 LUFS)'],
            ]}
          />
          <label>
            Start at
            <input name="start" inputMode="text" pattern={TIME} placeholder="0:00" title="A time such as 1:30 or 90" />
          </label>
          <label>
            End at
            <input name="end" inputMode="text" pattern={TIME} placeholder="the end" title="A time such as 1:02:03" />
          </label>
          <Choice
            name="tags"
            label="Title, artist and other tags"
            values={[
              ['', "Keep the video's"],
              ['none', 'Leave them out'],
            ]}
          />
          <Choice
            name="chapters"
            label="Chapters"
            values={[
              ['', 'Keep them in the MP3'],
              ['split', 'One MP3 for each, as a zip'],
              ['none', 'Leave them out'],
            ]}
          />
          <label>
            Cover
            <select name="cover" value={cover} onChange={({ currentTarget }) => setCover(currentTarget.value)}>
              <option value="">Keep the video's</option>
              <option value="own">A picture of mine</option>
              <option value="none">None</option>
            </select>
          </label>
          {cover === 'own' && (
            <label>
              Picture (JPEG or PNG, up to 5 MB)
              <input name="picture" type="file" accept="image/jpeg,image/png" required />
            </label>
          )}
        </div>
      </details>
    </>
  )
}

/** A labelled list of values and what they mean. */
export function Choice(props: { name: string; label: string; values: readonly (readonly [string, string])[] }) {
  return (
    <label>
      {props.label}
      <select name={props.name}>
        {props.values.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  )
}
