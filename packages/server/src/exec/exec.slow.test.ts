import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isRoot, missing, start, UID } from './exec.test-kit.ts'

const noBubblewrap = missing('bubblewrap')
const noNamespace = missing('namespace')
const noSandbox = noBubblewrap === undefined ? undefined : noNamespace
const kinds = (['bubblewrap', 'namespace'] as const).filter((kind) => missing(kind) === undefined)

describe.skipIf(noSandbox !== undefined).each(kinds)('%s', (sandbox) => {
  const bare = { sandbox, directory: '/', ...(isRoot && { uid: UID }) }

  test('the exit code is passed through', async () => {
    expect((await start(bare, 'process.exit(213)').ended).code).toBe(213)
  })

  test('a descriptor that was open all along is closed to the agent', async () => {
    const open = openSync('/etc/group', 'r')
    onTestFinished(() => closeSync(open))
    const { child, ended } = start(
      bare,
      `import { readdirSync, readlinkSync } from 'node:fs'
       const to = (fd) => { try { return readlinkSync('/proc/self/fd/' + fd) } catch { return '' } }
       console.log(readdirSync('/proc/self/fd').map(to).filter((path) => path.startsWith('/etc/')).join())`,
      open,
    )
    child.stdin.end()
    expect(await ended).toMatchObject({ code: 0, out: '\n' })
  })

  test('standard input is the agent’s', async () => {
    const { child, ended } = start(bare, 'process.stdin.pipe(process.stdout)')
    child.stdin.end('a line\n')
    expect((await ended).out).toBe('a line\n')
  })

  test('a signal is the agent’s to handle, and so is the second one', async () => {
    const { child, ended, said } = start(
      bare,
      `let seen = 0
       process.on('SIGTERM', () => { seen += 1; console.log('term', seen); if (seen === 2) process.exit(130) })
       setInterval(() => {}, 1000)
       console.log('ready')`,
    )
    await said()
    child.kill('SIGTERM')
    await said()
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 130, out: 'ready\nterm 1\nterm 2\n' })
  })

  test('an agent that dies of a signal is told as a shell tells it', async () => {
    const { child, ended, said } = start(bare, `console.log('ready'); setInterval(() => {}, 1000)`)
    await said()
    child.kill('SIGINT')
    expect((await ended).code).toBe(130)
  })

  /** Rooms that the process `pid` made. */
  const roomsOf = (pid: number | undefined): string[] =>
    [tmpdir(), '/run']
      .flatMap((place) => (existsSync(place) ? readdirSync(place) : []))
      .filter((name) => name.startsWith('vestry-') && name.includes(`-${pid}-`))

  test('an agent does not outlive the process that started it, and what is left is cleared by the next', async () => {
    const { child, ended, said } = start(bare, `console.log('ready'); setInterval(() => {}, 1000)`)
    await said()
    const agents = descendants(child.pid ?? 0, process.execPath)
    expect(agents).not.toEqual([])
    // Afterwards any other start may be the one that clears it.
    expect(roomsOf(child.pid)).toHaveLength(1)
    child.kill('SIGKILL')
    await ended
    await expect.poll(() => agents.filter(isRunning), { timeout: 20_000 }).toEqual([])
    await start(bare, '').ended
    expect(roomsOf(child.pid)).toEqual([])
  })

  test('nothing of the room is left behind, and a room in use is left alone', async () => {
    const first = start(bare, `console.log('ready'); process.stdin.resume()`)
    await first.said()
    const second = start(bare, '')
    await second.ended
    expect(roomsOf(second.child.pid)).toEqual([])
    expect(roomsOf(first.child.pid)).toHaveLength(1)
    first.child.stdin.end()
    expect((await first.ended).code).toBe(0)
    expect(roomsOf(first.child.pid)).toEqual([])
  })
})

test('a program that is not there is refused before anything is made', async () => {
  const { code, err } = await start({ command: ['no-such-program'] }, '').ended
  expect(code).toBe(99)
  expect(err).toContain('there is no program no-such-program')
})

test('without a sandbox nothing is started', async () => {
  const own = { PATH: '/nonexistent' }
  const { code, out, err } = await start({ own }, 'console.log(1)').ended
  expect([code, out]).toEqual([99, ''])
  expect(err).toContain('bwrap is not installed')
  expect(err).toContain('unshare (util-linux) is not installed')
})

/** Processes below `pid` that run `program`. */
function descendants(pid: number, program: string): number[] {
  const below = children(pid).flatMap((child) => [child, ...descendants(child, program)])
  return below.filter((each) => commandOf(each).startsWith(program))
}

function children(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => parentOf(each) === pid)
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

const isRunning = (pid: number): boolean => commandOf(pid) !== ''
