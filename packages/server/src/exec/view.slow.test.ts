import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer as createTcp } from 'node:net'
import { join, resolve } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isRoot, missing, scene, start, UID } from './exec.test-kit.ts'
import type { ExecPlan } from './exec.ts'

/** What an agent finds out about its place, as JSON. */
const LOOK = `
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { request } from 'node:http'
const attempt = (work) => { try { return work() } catch (error) { return error.code } }
const reached = (options) => new Promise((resolve) => {
  const socket = connect(options)
  socket.once('connect', () => resolve('connected'))
  socket.once('error', (error) => resolve(error.code ?? 'failed'))
})
const listening = new Promise((resolve) => {
  const server = createServer()
  server.once('error', (error) => resolve(error.code))
  server.listen(0, '127.0.0.1', () => server.close(() => resolve('listening')))
})
const trat = new Promise((resolve, reject) => {
  request({ socketPath: process.env.AUTH_SIDECAR_SOCKET, path: '/trat' }, (response) => {
    let body = ''
    response.on('data', (text) => { body += text }).on('end', () => resolve(body))
  }).on('error', reject).end()
})
console.log(JSON.stringify({
  uid: process.getuid(),
  env: process.env,
  ipv4: await reached({ host: '127.0.0.1', port: Number(process.env.PORT) }),
  ipv6: await reached({ host: '::1', port: Number(process.env.PORT) }),
  listening: await listening,
  trat: await trat,
  svid: attempt(() => readFileSync(process.env.SPIFFE_JWT_PATH, 'utf8')),
  key: attempt(() => readFileSync(process.env.KEY, 'utf8')),
  run: attempt(() => readdirSync('/run')),
  etc: attempt(() => writeFileSync('/etc/vestry-was-here', '')),
  report: attempt(() => writeFileSync(process.env.OUTPUT_PATH + '/results.sarif', '{}')) ?? 'written',
  status: readFileSync('/proc/self/status', 'latin1').match(/^(Cap(Eff|Bnd)|NoNewPrivs|Seccomp|Groups):.*$/gm),
  processes: readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).length,
}))`

async function looked(plan: Partial<ExecPlan>, dir: string) {
  const server = createTcp()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const extra = {
    PORT: String((server.address() as AddressInfo).port),
    KEY: join(dir, 'home', 'keys', 'operator.key'),
  }
  const { code, out, err } = await start({ ...plan, extra }, LOOK).ended
  expect(err.replace(/^warning: .*\n/gm, '')).toBe('')
  expect(code).toBe(0)
  return JSON.parse(out)
}

const noBubblewrap = missing('bubblewrap')
const noNamespace = missing('namespace')

describe.skipIf(noBubblewrap !== undefined)(
  `bubblewrap${noBubblewrap ? ` (${noBubblewrap})` : ''}`,
  () => {
    test('an agent has its sockets, its tokens and its directories, and no network, secret or file of others', async () => {
      const { dir, plan } = await scene()
      const seen = await looked({ ...plan, sandbox: 'bubblewrap' }, dir)
      expect(seen).toMatchObject({
        ipv4: 'EAFNOSUPPORT',
        ipv6: 'EAFNOSUPPORT',
        listening: 'EAFNOSUPPORT',
        trat: 'e30.e30.sig',
        svid: 'svid-1',
        key: 'ENOENT',
        run: ['vestry'],
        etc: 'EROFS',
        report: 'written',
        processes: 2,
      })
      const status = seen.status.join('\n').replaceAll('\t', ' ')
      expect(status).toMatch(/CapEff: 0000000000000000/)
      expect(status).toMatch(/NoNewPrivs: 1/)
      expect(status).toMatch(/Seccomp: 2/)
      if (isRoot) {
        expect(seen.uid).toBe(UID)
        expect(status).toMatch(/CapBnd: 0000000000000000/)
      }
      expect(seen.env).toMatchObject({
        RUN_ID: 'run_1',
        HOME: '/run/vestry/work',
        WORK_DIR: '/run/vestry/work',
        OUTPUT_PATH: '/run/vestry/output',
        SPIFFE_JWT_PATH: '/run/vestry/svid.jwt',
        AUTH_SIDECAR_SOCKET: '/run/vestry/auth.sock',
      })
      expect(seen.env).not.toHaveProperty('OPENAI_API_KEY')
      expect(seen.env).not.toHaveProperty('TRAT_FILE') // there was no such file
      expect(readFileSync(join(dir, 'home', 'output', 'results.sarif'), 'utf8')).toBe('{}')
    })

    test('a repository is read, and not written', async () => {
      const { dir, plan } = await scene()
      const repository = join(dir, 'repository')
      mkdirSync(repository)
      writeFileSync(join(repository, 'app.ts'), 'x = 1')
      const { out } = await start(
        { ...plan, repository, sandbox: 'bubblewrap' },
        `import { readFileSync, writeFileSync } from 'node:fs'
       const at = process.env.REPO_PATH + '/app.ts'
       let wrote = 'written'
       try { writeFileSync(at, '') } catch (error) { wrote = error.code }
       console.log(readFileSync(at, 'utf8'), wrote)`,
      ).ended
      expect(out).toBe('x = 1 EROFS\n')
    })

    test.runIf(isRoot)(
      'a repository that its user may not read is told before anything runs',
      async () => {
        const { dir, plan } = await scene()
        const repository = join(dir, 'repository')
        mkdirSync(repository, { mode: 0o700 })
        const { code, err } = await start({ ...plan, repository, sandbox: 'bubblewrap' }, '').ended
        expect(code).toBe(99)
        expect(err).toContain('cannot read the repository')
      },
    )

    test('the home is hidden even where it lies in a directory that is shown', async () => {
      const { dir, plan } = await scene()
      chmodSync(dir, 0o755)
      const { out, err } = await start(
        { ...plan, shown: [dir], sandbox: 'bubblewrap' },
        `import { readdirSync } from 'node:fs'
       console.log(JSON.stringify([readdirSync('${dir}'), readdirSync('${dir}/home')]))`,
      ).ended
      expect(err).toBe('')
      expect(JSON.parse(out)).toEqual([['home'], []])
    })

    test('the home is hidden in a repository that holds it, also when the repository is named by a link', async () => {
      const { dir, plan } = await scene()
      chmodSync(dir, 0o755)
      for (const at of ['home', 'home/keys']) chmodSync(join(dir, at), 0o755)
      symlinkSync(dir, `${dir}-link`)
      onTestFinished(() => rmSync(`${dir}-link`))
      for (const repository of [dir, `${dir}-link`]) {
        const { out } = await start(
          { ...plan, repository, sandbox: 'bubblewrap' },
          `import { readdirSync } from 'node:fs'
         const repo = process.env.REPO_PATH
         console.log(JSON.stringify([readdirSync(repo), readdirSync(repo + '/home')]))`,
        ).ended
        expect(JSON.parse(out)).toEqual([['home'], []])
      }
    })

    test('a file of the home that the command names stays hidden, and so it does behind a link', async () => {
      const { dir, plan } = await scene()
      for (const at of ['.', 'home', 'home/keys']) chmodSync(join(dir, at), 0o755)
      const key = join(dir, 'home', 'keys', 'operator.key')
      chmodSync(key, 0o644)
      symlinkSync(join(dir, 'home'), `${dir}-link`)
      onTestFinished(() => rmSync(`${dir}-link`))
      for (const path of [key, `${dir}-link/keys/operator.key`, `${dir}-link`]) {
        const command = [
          process.execPath,
          '-p',
          'try { fs.readFileSync(process.argv[1]) } catch (e) { e.code }',
          path,
        ]
        const { out } = await start({ ...plan, command, sandbox: 'bubblewrap' }, '').ended
        expect(out).toMatch(/^(?:ENOENT|EISDIR)\n$/)
      }
    })

    test('what lies in a home cannot be shown on purpose', async () => {
      const { dir, plan } = await scene()
      const keys = join(dir, 'home', 'keys')
      for (const more of [{ shown: [keys] }, { repository: keys }]) {
        const { code, err } = await start({ ...plan, ...more, sandbox: 'bubblewrap' }, '1').ended
        expect(code).toBe(99)
        expect(err).toContain('leads into a home of Vestry')
      }
    })

    test.each(['link', 'file'])(
      'a %s that an agent left where the vault’s files go is told of, and not followed',
      async (kind) => {
        const { dir, plan } = await scene()
        const vault = {
          socket: join(dir, 'home', 'run', 'auth.sock'),
          keyFile: join(dir, 'home', 'keys', 'scout.key'),
        }
        writeFileSync(vault.keyFile, 'seed')
        const work = plan.run?.['WORK_DIR'] ?? ''
        mkdirSync(work, { mode: 0o700 })
        if (kind === 'link') symlinkSync('../../../etc', join(work, '.sanctum'))
        else writeFileSync(join(work, '.sanctum'), '')
        const { code, out, err } = await start(
          { ...plan, vault, sandbox: 'bubblewrap' },
          'console.log(1)',
        ).ended
        expect([code, out]).toEqual([99, ''])
        expect(err).toContain('.sanctum is not a directory')
      },
    )

    test('sockets of the machine lead nowhere wherever they lie, unless one is shown by its name', async () => {
      const { plan } = await scene()
      const place = mkdtempSync(resolve(import.meta.dirname, '../../../../node_modules/.exec-'))
      onTestFinished(() => rmSync(place, { recursive: true }))
      chmodSync(place, 0o755)
      const [closed, open] = ['closed.sock', 'open.sock'].map((name) => join(place, name))
      for (const path of [closed, open]) {
        const server = createTcp().listen(path)
        await once(server, 'listening')
        onTestFinished(() => void server.close())
        chmodSync(path ?? '', 0o777)
      }
      const { out } = await start(
        { ...plan, shown: [open ?? ''], sandbox: 'bubblewrap' },
        `import { connect } from 'node:net'
       const reached = (path) => new Promise((resolve) => {
         const socket = connect({ path })
         socket.once('connect', () => resolve('connected')).once('error', ({ code }) => resolve(code))
       })
       console.log(await reached('${closed}'), await reached('${open}'))
       process.exit()`,
      ).ended
      expect(out).toMatch(/^(?:ECONNREFUSED|ENOTSOCK|EACCES|ENOENT) connected\n$/)
    })

    test('a script below a temporary directory is seen with what lies beside it, and nothing around', async () => {
      const { plan, dir } = await scene()
      const place = join(dir, 'agents', 'one')
      mkdirSync(place, { recursive: true })
      for (const at of [dir, join(dir, 'agents'), place]) chmodSync(at, 0o755)
      writeFileSync(join(dir, 'agents', 'other.txt'), 'x')
      writeFileSync(join(place, 'part.mjs'), 'export const word = "seen"')
      writeFileSync(
        join(place, 'agent.mjs'),
        `import { existsSync } from 'node:fs'
         import { word } from './part.mjs'
         console.log(word, existsSync('${join(dir, 'agents', 'other.txt')}'))`,
      )
      const command = [process.execPath, join(place, 'agent.mjs')]
      const { out } = await start({ ...plan, command, sandbox: 'bubblewrap' }, '').ended
      expect(out).toBe('seen false\n')
    })

    test('a token that is replaced outside is replaced inside', async () => {
      const { dir, plan } = await scene()
      const { ended, said } = start(
        { ...plan, sandbox: 'bubblewrap' },
        `import { readFileSync } from 'node:fs'
       const read = () => readFileSync(process.env.SPIFFE_JWT_PATH, 'utf8')
       console.log(read())
       const timer = setInterval(() => { if (read() === 'svid-2') { clearInterval(timer); console.log(read()) } }, 20)`,
      )
      await said()
      const path = join(dir, 'home', 'run', 'svid.jwt')
      writeFileSync(`${path}.new`, 'svid-2')
      renameSync(`${path}.new`, path)
      expect((await ended).out).toBe('svid-1\nsvid-2\n')
    })

    test('the vault’s clients find their socket and their key where they look', async () => {
      const { dir, plan } = await scene()
      const vault = {
        socket: join(dir, 'home', 'run', 'auth.sock'),
        keyFile: join(dir, 'home', 'keys', 'scout.key'),
      }
      writeFileSync(vault.keyFile, 'seed')
      const { out } = await start(
        { ...plan, vault, sandbox: 'bubblewrap' },
        `import { readFileSync, statSync } from 'node:fs'
       import { homedir } from 'node:os'
       const at = homedir() + '/.sanctum'
       console.log(statSync(at + '/vault.sock').isSocket(), readFileSync(at + '/keys/scout.key', 'utf8'))`,
      ).ended
      expect(out).toBe('true seed\n')
    })
  },
)

describe.skipIf(noNamespace !== undefined)(
  `namespace${noNamespace ? ` (${noNamespace})` : ''}`,
  () => {
    test('an agent has its sockets and tokens, and no network', async () => {
      const { dir, plan } = await scene()
      const [work, output] = ['work', 'output'].map((name) => join(dir, name))
      // Nothing is mounted here: another user needs directories that it reaches.
      chmodSync(dir, 0o711)
      const run = { ...plan.run, WORK_DIR: work ?? '', OUTPUT_PATH: output ?? '' }
      const seen = await looked({ ...plan, run, sandbox: 'namespace' }, dir)
      expect(seen).toMatchObject({
        trat: 'e30.e30.sig',
        svid: 'svid-1',
        report: 'written',
        env: { WORK_DIR: work, HOME: work },
      })
      expect(seen.ipv4).not.toBe('connected')
      expect(seen.ipv6).not.toBe('connected')
      expect(seen.status.join('\n')).toMatch(/NoNewPrivs:\t1/)
      if (isRoot) expect(seen).toMatchObject({ uid: UID, key: 'EACCES' })
    })

    test.runIf(isRoot)('a program out of reach is told before anything runs', async () => {
      const { dir, plan } = await scene()
      const program = join(dir, 'home', 'program')
      writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 })
      const command = [program]
      const { code, err } = await start({ ...plan, command, sandbox: 'namespace' }, '').ended
      expect(code).toBe(99)
      expect(err).toContain(`cannot run ${program}`)
    })

    test.runIf(isRoot)('directories out of reach are told before anything runs', async () => {
      const { plan } = await scene()
      const { code, out, err } = await start({ ...plan, sandbox: 'namespace' }, 'console.log(1)')
        .ended
      expect([code, out]).toEqual([99, ''])
      expect(err).toContain('cannot write to')
    })
  },
)
