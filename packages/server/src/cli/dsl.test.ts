import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fakeTerminal } from './fake-terminal.test-kit.ts'
import { runProgram } from './program.ts'

async function vestry(argv: readonly string[], options: Parameters<typeof fakeTerminal>[0] = {}) {
  const terminal = fakeTerminal(options)
  const exitCode = await runProgram(argv, terminal, new AbortController().signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

const UGLY = 'agent a{name:"x"\n\n\naction b{log("info",1)}}'

test('runtime §11.7: dsl check shows each error with its line and ends with 1', async () => {
  const { exitCode, out } = await vestry(['dsl', 'check', '-'], {
    input: 'agent a {\n  name "x"\n}\n',
  })
  expect(exitCode).toBe(1)
  expect(out).toContain('-:2:8: error E_SYNTAX: ')
  expect(out).toContain('2 |   name "x"\n  |        ^^^\n')
  expect(out).toContain('1 error, 0 warnings\n')
})

test('dsl fmt --check names what is laid out otherwise, --write mends it, and then there is nothing left', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'dsl-'))
  const file = join(dir.path, 'a.vestry')
  writeFileSync(file, UGLY)
  expect(await vestry(['dsl', 'fmt', '--check', file])).toMatchObject({
    exitCode: 1,
    out: `${file}\n`,
  })
  expect(await vestry(['dsl', 'fmt', '--write', file])).toMatchObject({ exitCode: 0 })
  expect(readFileSync(file, 'utf8')).toBe(
    'agent a {\n    name: "x"\n\n    action b {\n        log("info", 1)\n    }\n}\n',
  )
  expect(await vestry(['dsl', 'fmt', '--check', file])).toMatchObject({ exitCode: 0, out: '' })
})

test('dsl compile prints the definition, and errors instead where there are some', async () => {
  const good = await vestry(['dsl', 'compile', '-', '--json'], { input: UGLY })
  expect(JSON.parse(good.out)).toMatchObject({ name: 'a', actions: [{ name: 'b' }] })
  const source = `agent a { action b { call_tool("mail:send") } policy p { allow: "mail:send" if input.n < 3 } }`
  const told = await vestry(['dsl', 'compile', '-'], { input: source })
  expect(told.out).toBe(
    'agent a, version 1.0.0\n  runs\n    b\n  may\n    call tool mail:send if input.n < 3 (line 1)\n',
  )
  const bad = await vestry(['dsl', 'compile', '-', '--json'], { input: 'agent' })
  expect(bad.exitCode).toBe(1)
  expect(JSON.parse(bad.out)).toMatchObject({ errors: 1 })
})

test('dsl fmt --write refuses standard input, and a file that is not there is told by its name', async () => {
  const back = await vestry(['dsl', 'fmt', '--write', '-'], { input: UGLY })
  expect(back).toMatchObject({ exitCode: 2, out: '' })
  expect(back.err).toContain('standard input cannot be written back')
  const none = await vestry(['dsl', 'check', '/nowhere/x.vestry'])
  expect(none.exitCode).not.toBe(0)
  expect(none.err).toContain('/nowhere/x.vestry')
})
