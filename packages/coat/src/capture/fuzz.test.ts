import { expect, test } from 'vitest'
import { CAPTURE_MODES } from '../aot.ts'
import { createCapturer } from './create-capturer.ts'
import { randomSource, randomValue } from './fuzz.test-kit.ts'

const MAX_LINE = 65_536

test('telemetry §16.12: whatever a value is, it becomes JSON that fits a line, and none of its code runs', () => {
  const capturer = createCapturer({
    previewLen: 65_536,
    redactKeys: [],
    patterns: [],
    entropy: true,
    stack: true,
    env: { SECRET: 'a text with' },
  })
  const random = randomSource(1)
  for (let round = 0; round < 3000; round += 1) {
    const value = randomValue(random)
    const capture = capturer.begin(CAPTURE_MODES[round % CAPTURE_MODES.length] ?? 'redacted')
    const text = JSON.stringify([capture.value(value), capture.error(value)])
    expect(Buffer.byteLength(text)).toBeLessThan(MAX_LINE)
    expect(() => JSON.parse(text)).not.toThrow()
    expect(text.isWellFormed()).toBe(true)
    if (round % 5 !== 4) expect(text).not.toContain('sk-ant-abc')
  }
})
