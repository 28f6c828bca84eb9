import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, clock, language, percent, plural, timeLeft } from '../src/format.ts'
import { Speed } from '../src/speed.ts'

test('sizes have a unit in which they are short', () => {
  const shown = [0, 999, 1000, 1234567, 99_950_000, 999_499_999, 999_500_000, 3.2e12].map(bytes)
  assert.deepEqual(shown, ['0 bytes', '999 bytes', '1.0 kB', '1.2 MB', '100 MB', '999 MB', '1.0 GB', '3.2 TB'])
})

test('a length is a clock time', () => {
  assert.deepEqual([0, 5.4, 59.6, 3725].map(clock), ['0:00', '0:05', '1:00', '1:02:05'])
})

test('a time to wait is not more exact than it can be', () => {
  const shown = [3, 31, 56, 89, 150, 3600, 9000].map(timeLeft)
  assert.deepEqual(shown, [
    'a few seconds left',
    'about 40 seconds left',
    'about 1 minute left',
    'about 1 minute left',
    'about 3 minutes left',
    'about 1 hour left',
    'about 3 hours left',
  ])
})

test('a percent is 100 only when all is there', () => {
  assert.deepEqual([-1, 0, 0.999, 1, 2].map(percent), [0, 0, 99, 100, 100])
})

test('words', () => {
  assert.deepEqual([plural(1, 'video'), plural(2, 'video')], ['1 video', '2 videos'])
  assert.equal(language('no language at all'), 'no language at all')
})

test('a speed is that of the last seconds', () => {
  const speed = new Speed()
  assert.equal(speed.perSecond, 0)
  for (let second = 0; second <= 20; second++) speed.note(second < 10 ? 0 : (second - 10) * 100, second * 1000)
  assert.equal(speed.perSecond, 100)
  speed.reset()
  assert.equal(speed.perSecond, 0)
})
