import { expect, test } from 'vitest'
import { CommandIo } from './command-io.ts'
import { fakeTerminal } from './fake-terminal.test-kit.ts'

const never = new AbortController().signal

test.each([
  ['y\n', true],
  ['YES\n', true],
  ['n\n', false],
  ['\n', false],
  ['yesterday\n', false],
])('what cannot be undone is asked for, and %j means %s', async (typed, agreed) => {
  const terminal = fakeTerminal({ isTTY: true })
  const asked = new CommandIo({}, terminal, never).confirm('Destroy it?')
  terminal.stdin.write(typed)
  expect(await asked).toBe(agreed)
  expect(terminal.err()).toContain('Destroy it? [y/N] ')
  expect(terminal.out()).toBe('')
})

test('nobody is asked with --yes, with --json or without a terminal', async () => {
  for (const [options, isTTY] of [
    [{ yes: true }, true],
    [{ json: true }, true],
    [{}, false],
  ] as const) {
    expect(await new CommandIo(options, fakeTerminal({ isTTY }), never).confirm('?')).toBe(true)
  }
})

test('quiet silences prose, not warnings', () => {
  const terminal = fakeTerminal()
  const io = new CommandIo({ quiet: true }, terminal, never)
  io.note('prose')
  io.warn('beware\u001b[2J')
  expect(terminal.err()).toBe('warning: beware\\x1b[2J\n')
})

test('the key of another operator lies beside the owner’s, unless said otherwise', () => {
  const address = (options: object) =>
    new CommandIo({ home: '/h', ...options }, fakeTerminal(), never).address
  expect(address({})).toEqual({
    socket: '/h/run/admin.sock',
    operator: 'owner',
    keyFile: '/h/keys/operator.key',
  })
  expect(address({ operator: 'ada' }).keyFile).toBe('/h/keys/operator-ada.key')
  expect(address({ operator: 'ada', operatorKey: '/k' }).keyFile).toBe('/k')
})

test('work on a terminal that takes long is shown there and cleared again', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  const io = new CommandIo({}, terminal, never)
  const done = await io.busy('waiting', async ({ say }) => {
    await new Promise((resolve) => setTimeout(resolve, 1_150))
    say('nearly')
    await new Promise((resolve) => setTimeout(resolve, 300))
    return 'done'
  })
  expect(done).toBe('done')
  expect(terminal.err()).toContain('nearly')
  expect(terminal.out()).toBe('')
})
