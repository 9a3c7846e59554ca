import { expect, test } from 'vitest'
import { parseAnswer } from './answer.ts'

test('answers of a collector are understood', () => {
  expect(
    parseAnswer('{"type":"aot_welcome","ack":true,"last_seq":7,"max_line":4096,"x":1}'),
  ).toEqual({
    type: 'welcome',
    acknowledges: true,
    lastSeq: 7,
    maxLineBytes: 4096,
  })
  expect(parseAnswer('{"type":"aot_ack","seq":9,"rejected":[8]}')).toEqual({
    type: 'ack',
    seq: 9,
    rejected: 1,
  })
  expect(parseAnswer('{"type":"aot_flushed","id":1,"seq":9}')).toEqual({ type: 'flushed', seq: 9 })
})

test('anything else is no word of a collector, and odd numbers count as none', () => {
  for (const line of ['', 'x', '5', 'null', '[]', '{"status":"error"}', '{"type":"aot_other"}'])
    expect(parseAnswer(line)).toBeUndefined()
  for (const seq of ['-1', '1.5', '1e99', '"9"', 'null'])
    expect(parseAnswer(`{"type":"aot_ack","seq":${seq}}`)).toMatchObject({ seq: 0, rejected: 0 })
})
