import { closeSync, mkdtempDisposableSync, openSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fakeTerminal } from './fake-terminal.test-kit.ts'
import { promptHidden, promptNewSecret } from './hidden-prompt.ts'
import { passphraseSource, readSecret, type SecretQuestion } from './secret-input.ts'

const ASKED: SecretQuestion = { option: 'value', question: 'Value', isNew: false, maxBytes: 16 }
const text = ({ secret }: { secret: { bytes: Uint8Array } }) => Buffer.from(secret.bytes).toString()

test.each([
  ['plain', 'plain', false],
  ['line\n', 'line', true],
  ['line\r\n', 'line', true],
  ['two\n\n', 'two\n', true],
  ['\n', '', true],
  ['', '', false],
  ['a\nb', 'a\nb', false],
])('from standard input %j becomes %j', async (input, value, trimmed) => {
  using given = await readSecret({ stdin: true }, ASKED, fakeTerminal({ input }))
  expect(text(given)).toBe(value)
  expect(given.trimmed).toBe(trimmed)
})

test('with raw nothing is trimmed', async () => {
  using given = await readSecret(
    { stdin: true },
    { ...ASKED, raw: true },
    fakeTerminal({ input: 'x\n' }),
  )
  expect(text(given)).toBe('x\n')
})

test('files and descriptors are read, bytes as they are', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'secret-'))
  const file = join(dir.path, 'value')
  writeFileSync(file, Buffer.from([0, 255, 10, 128]))
  using fromFile = await readSecret({ file }, ASKED, fakeTerminal())
  expect([...fromFile.secret.bytes]).toEqual([0, 255, 10, 128])
  const fd = openSync(file, 'r')
  try {
    using fromFd = await readSecret({ fd }, ASKED, fakeTerminal())
    expect([...fromFd.secret.bytes]).toEqual([0, 255, 10, 128])
  } finally {
    closeSync(fd)
  }
})

test('a value may be exactly as long as allowed, its line end not counted', async () => {
  const sixteen = 'x'.repeat(16)
  using given = await readSecret({ stdin: true }, ASKED, fakeTerminal({ input: `${sixteen}\r\n` }))
  expect(text(given)).toBe(sixteen)
  for (const input of [`${sixteen}y`, 'z'.repeat(100_000)]) {
    await expect(readSecret({ stdin: true }, ASKED, fakeTerminal({ input }))).rejects.toThrow(
      expect.objectContaining({
        code: 'INVALID_PARAMS',
        message: 'the value is larger than 16 bytes',
      }),
    )
  }
})

test('a missing file, two sources, no source and no terminal are told apart', async () => {
  const refused = (source: Parameters<typeof readSecret>[0]) =>
    readSecret(source, ASKED, fakeTerminal()).catch((error: unknown) => error)
  expect(await refused({ file: '/nowhere/x' })).toMatchObject({
    code: 'NOT_FOUND',
    message: '/nowhere/x cannot be read (ENOENT)',
  })
  expect(await refused({ file: '/x', stdin: true })).toMatchObject({ code: 'USAGE' })
  expect(await refused({ fd: 999 })).toMatchObject({ code: 'NOT_FOUND' })
  expect(await refused({})).toMatchObject({
    code: 'USAGE',
    hint: 'Give --value-stdin, --value-file or --value-fd',
  })
})

test('on a terminal the secret is asked for without echo', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  const asked = readSecret({}, ASKED, terminal)
  terminal.stdin.write('sesa\u007fme\r')
  using given = await asked
  expect(text(given)).toBe('sesme')
  expect(terminal.err()).toBe('Value: \n')
  expect(terminal.out()).toBe('')
  expect(terminal.raw).toEqual({ ever: true, now: false })
})

test('the prompt edits characters, not bytes', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  const asked = promptHidden('Value', terminal)
  terminal.stdin.write('wrong\u0015gr\u00fc')
  terminal.stdin.write('\u0008\u00fcn\u0007\u001b')
  terminal.stdin.write('\n')
  using secret = await asked
  expect(Buffer.from(secret.bytes).toString()).toBe('grün')
})

test('what is typed ahead stays for the next prompt', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  terminal.stdin.write('one\rone\r')
  using secret = await promptNewSecret('New', terminal)
  expect(Buffer.from(secret.bytes).toString()).toBe('one')
})

test.each(['\u0003', 'x'.repeat(5_000)])(
  'an interrupt or a flood ends the prompt: %#',
  async (typed) => {
    const terminal = fakeTerminal({ isTTY: true })
    const asked = promptHidden('Value', terminal)
    terminal.stdin.write(typed)
    await expect(asked).rejects.toThrow(expect.objectContaining({ code: 'USAGE' }))
    expect(terminal.raw.now).toBe(false)
  },
)

test('the end of input ends the prompt, and so does an entry that differs', async () => {
  const closed = fakeTerminal({ isTTY: true, input: 'half' })
  await expect(promptHidden('Value', closed)).rejects.toThrow(
    expect.objectContaining({ code: 'USAGE' }),
  )
  const terminal = fakeTerminal({ isTTY: true })
  terminal.stdin.write('one\rtwo\r')
  await expect(promptNewSecret('New', terminal)).rejects.toThrow('the two entries differ')
})

test('the environment may name a passphrase file, and an option goes before it', () => {
  const env = { SANCTUM_PASSPHRASE_FILE: '/old', VESTRY_PASSPHRASE_FILE: '/new' }
  expect(passphraseSource({}, env)).toEqual({ file: '/new' })
  expect(passphraseSource({}, { SANCTUM_PASSPHRASE_FILE: '/old' })).toEqual({ file: '/old' })
  expect(passphraseSource({ stdin: true }, env)).toEqual({ stdin: true })
  expect(passphraseSource({}, { VESTRY_PASSPHRASE_FILE: '' })).toEqual({})
})
