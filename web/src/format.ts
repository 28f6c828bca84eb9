/** Numbers as people read them. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

/** 1234567 as 1.2 MB. */
export function bytes(count: number): string {
  let unit = 0
  let shown = count
  while (shown >= 999.5 && unit < UNITS.length - 1) {
    shown /= 1000
    unit += 1
  }
  return `${unit === 0 || shown >= 99.95 ? Math.round(shown) : shown.toFixed(1)} ${UNITS[unit]}`
}

/** 3725 s as 1:02:05. */
export function clock(seconds: number): string {
  const whole = Math.round(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (number: number) => String(number).padStart(2, '0')
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** A time to wait, no more exact than anybody can know it. */
export function timeLeft(seconds: number): string {
  if (seconds < 10) return 'a few seconds left'
  if (seconds < 55) return `about ${Math.ceil(seconds / 10) * 10} seconds left`
  if (seconds < 3570) return `about ${plural(Math.round(seconds / 60), 'minute')} left`
  return `about ${plural(Math.round(seconds / 3600), 'hour')} left`
}

/** A whole percent that is 100 only when all is there. */
export const percent = (share: number): number => Math.floor(Math.min(1, Math.max(0, share)) * 100)

/** 1 video, 2 videos. */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

/** A day, such as 1 December. */
export const day = (time: string): string =>
  new Date(time).toLocaleDateString(undefined, { day: 'numeric', month: 'long' })

/** A language by its name, or else its code as it is. */
export function language(code: string): string {
  try {
    return new Intl.DisplayNames(undefined, { type: 'language' }).of(code) ?? code
  } catch {
    return code
  }
}
