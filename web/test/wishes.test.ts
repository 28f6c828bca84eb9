import assert from 'node:assert/strict'
import { test } from 'node:test'
import { objection } from '../src/chosen.ts'
import { conflicts, DATE, TIME, TRACK_NUMBER, wishes } from '../src/wishes.ts'

const form = (fields: Record<string, string | Blob>) => {
  const filled = new FormData()
  for (const [name, value] of Object.entries(fields)) filled.append(name, value)
  return filled
}
const fits = (pattern: string) => (text: string) => new RegExp(`^(?:${pattern})$`, 'v').test(text)

test('what is empty is not asked for, and a bit rate takes the place of the quality', () => {
  assert.deepEqual(wishes(form({ quality: 'high', title: '', artist: 'Ada' })), { quality: 'high', artist: 'Ada' })
  assert.deepEqual(wishes(form({ quality: 'high', bitrate: '96' })), { bitrate: '96' })
  assert.deepEqual(wishes(form({ quality: 'high', bitrate: 'V6' })), { vbr: '6' })
  assert.deepEqual(wishes(form({ picture: new Blob(['...']) })), {})
})

test('what does not go together is told where it can be mended', () => {
  const at = (wanted: Record<string, string>) => Object.keys(conflicts(wanted, null))
  assert.deepEqual(at({ start: '1:02:03.5', end: '3723.5' }), ['end'])
  assert.deepEqual(at({ start: '1:02', end: '1:03', fade_in: '1' }), [])
  assert.deepEqual(at({ end: '10', fade_in: '6', fade_out: '5' }), ['fade_out'])
  assert.deepEqual(at({ start: '10', fade_in: '60', fade_out: '60' }), [])
  assert.deepEqual(at({ sample_rate: '22050', bitrate: '192' }), ['sample_rate'])
  assert.deepEqual(at({ sample_rate: '22050', quality: 'high' }), ['sample_rate'])
  assert.deepEqual(at({ sample_rate: '8000', quality: 'voice' }), [])
  assert.deepEqual(Object.keys(conflicts({}, new File([new Uint8Array(5_000_001)], 'large.png'))), ['picture'])
})

test('a field takes what the server takes', () => {
  assert.ok(['90', '90.5', '1:30', '99:59', '1:02:03.5', '100:00:00'].every(fits(TIME)))
  assert.ok(!['', '1:60', '1:60:00', '100:00', 'noon', '-1', '1,5'].some(fits(TIME)))
  assert.ok(['2026', '2026-11', '2026-11-24'].every(fits(DATE)) && !['26', '2026-13', '24.11.2026'].some(fits(DATE)))
  assert.ok(['3', '3/12'].every(fits(TRACK_NUMBER)) && !['', 'three', '3/'].some(fits(TRACK_NUMBER)))
})

test('what is surely no video is not sent', () => {
  const told = (name: string, type: string, size = 1) => objection({ name, type, size })
  assert.deepEqual([told('film.mkv', 'video/x-matroska'), told('a.ts', 'text/vnd.trolltech.linguist')], ['', ''])
  assert.deepEqual(
    [told('film', ''), told('film.bin', 'application/octet-stream'), told('a.ogg', 'audio/ogg')],
    ['', '', ''],
  )
  assert.match(told('cat.png', 'image/png'), /neither a video nor sound/)
  assert.match(told('a.docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'), /neither/)
  assert.match(told('film.mp4', 'video/mp4', 0), /is empty/)
})
