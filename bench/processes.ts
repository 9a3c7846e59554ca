/** Child processes of the benchmarks: started, waited for, stopped. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { RawClient } from '../test/harness/raw-client.ts'

/** @returns The child, and the line in which it said that it is ready. */
export function startScript(
  script: string,
  args: readonly string[],
): Promise<ChildProcess & { line: string }> {
  const child = fork(new URL(script, import.meta.url), args, {
    execArgv: ['--conditions=source'],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (text: Buffer) => {
      const line = text.toString().trim()
      if (line.includes('ready')) resolve(Object.assign(child, { line }))
    })
    child.once('exit', (code) => reject(new Error(`${script} exited with ${code}`)))
  })
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await gone
}

export function temporaryHome(config: object): string {
  const dir = mkdtempSync(join(tmpdir(), 'vestry-bench-'))
  writeFileSync(join(dir, 'vestry.yaml'), stringify(config), { mode: 0o600 })
  return dir
}

export function removeHome(dir: string): void {
  rmSync(dir, { recursive: true, force: true })
}

export async function operator(dir: string): Promise<RawClient> {
  const seed = Buffer.from(readFileSync(join(dir, 'keys/operator.key'), 'utf8').trim(), 'hex')
  const admin = await RawClient.connect({ path: join(dir, 'run/admin.sock') })
  await admin.login({ name: 'owner', seed }, 'operator_name')
  return admin
}
