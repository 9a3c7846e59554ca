import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { CommandIo } from './command-io.ts'
import { fakeTerminal } from './fake-terminal.test-kit.ts'

const never = new AbortController().signal

test.concurrent('what takes longer than a second is told on a terminal, and the line is taken away again', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  const io = new CommandIo({}, terminal, never)
  const result = await io.busy('reading the record', async (busy) => {
    await sleep(1_250)
    busy.say('record \u001b[2J2')
    io.warn('something else')
    await sleep(250)
    return 7
  })
  expect(result).toBe(7)
  const shown = terminal.err()
  expect(shown).toMatch(/⠋|⠙|⠹ reading the record \(1 s\)/)
  expect(shown).toContain('record \\x1b[2J2')
  // A warning stands on a line of its own, and nothing of the line is left at the end.
  expect(shown).toContain('\r\u001b[2K\u001b[33mwarning:\u001b[39m something else\n')
  expect(shown.endsWith('\r\u001b[2K')).toBe(true)
  expect(terminal.raw.ever, 'keys are left alone').toBe(false)
  expect(terminal.out()).toBe('')
})

test.concurrent('nothing is drawn for what is quick, with --quiet, or without a terminal', async () => {
  const cases = [
    [{}, true, 10],
    [{ quiet: true }, true, 1_200],
    [{}, false, 1_200],
  ] as const
  const shown = cases.map(async ([options, isTTY, ms]) => {
    const terminal = fakeTerminal({ isTTY })
    await new CommandIo(options, terminal, never).busy('waiting', () => sleep(ms))
    return terminal.err()
  })
  expect(await Promise.all(shown)).toEqual(['', '', ''])
})
