/**
 * What a person may ask of a conversion, as the server takes it (src/audiolift/options.py): found out before a large
 * video is sent, and not after.
 */

/** By the names of the form's fields, which are those of the server. */
export type Wishes = Record<string, string>

/** kb/s. */
export const BITRATES = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
/** Hz, each with the most kb/s that it can have. */
export const SAMPLE_RATES = new Map([
  [48000, 320],
  [44100, 320],
  [32000, 320],
  [24000, 160],
  [22050, 160],
  [16000, 160],
  [12000, 64],
  [11025, 64],
  [8000, 64],
])
/** As a number of seconds or on a clock. */
export const TIME = '\\d{1,9}(\\.\\d{1,6})?|(\\d{1,3}:[0-5]?\\d|\\d{1,2}):[0-5]?\\d(\\.\\d{1,6})?'
export const DATE = '\\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\\d|3[01]))?)?'
export const TRACK_NUMBER = '\\d{1,4}(\\/\\d{1,4})?'
export const LONGEST_FADE_S = 60
export const TEXT_LENGTH = 1000
const PICTURE_BYTES = 5_000_000
const QUALITY_BITRATES: Wishes = { voice: '64', high: '320' }

/** The fields that have been filled in, without the picture; a bit rate stands in the place of a quality. */
export function wishes(form: FormData): Wishes {
  const filled = [...form].flatMap(([name, value]) => (typeof value === 'string' && value ? [[name, value]] : []))
  const { bitrate, quality, ...others }: Wishes = Object.fromEntries(filled)
  if (bitrate?.startsWith('V')) return { ...others, vbr: bitrate.slice(1) }
  return bitrate ? { ...others, bitrate } : { ...others, ...(quality && { quality }) }
}

/** What does not go together, by the field where to mend it; each field by itself is right. */
export function conflicts(wanted: Wishes, picture: File | null): Wishes {
  const found: Wishes = {}
  const length = wanted.end ? seconds(wanted.end) - seconds(wanted.start ?? '0') : Number.POSITIVE_INFINITY
  if (length <= 0) found.end = 'It must lie after the start.'
  const fades = Number(wanted.fade_in ?? 0) + Number(wanted.fade_out ?? 0)
  if (length > 0 && fades > length) found.fade_out = 'The fades take longer than all of the part.'
  const most = SAMPLE_RATES.get(Number(wanted.sample_rate))
  if (most && Number(wanted.bitrate ?? QUALITY_BITRATES[wanted.quality ?? ''] ?? 0) > most) {
    found.sample_rate = `An MP3 of ${wanted.sample_rate} Hz has at most ${most} kb/s.`
  }
  if (picture && picture.size > PICTURE_BYTES) found.picture = 'It is larger than 5 MB. Please take a smaller one.'
  return found
}

/** A time such as 1:02:03.5. */
const seconds = (time: string): number => time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
