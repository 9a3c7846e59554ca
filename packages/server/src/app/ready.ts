/** `run/ready.json`: what a running daemon offers, written only once all of it is open. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

export interface Ready {
  readonly pid: number
  readonly version: string
  /** Base URL, without trailing slash. */
  readonly http: string
  /** Absolute paths. */
  readonly vault_socket: string
  readonly admin_socket: string
  readonly llm_socket: string
  /** Absent when telemetry is off. */
  readonly queue_socket?: string
  readonly identity_socket?: string
  readonly pod_id?: string
  readonly pod_name?: string
  readonly vault_tcp?: string
  readonly admin_key_file: string
  readonly sealed?: true
}

export function writeReady(path: string, ready: Ready): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${process.pid}`
  const file = openSync(draft, 'w', 0o600)
  try {
    writeSync(file, `${JSON.stringify(ready, null, 2)}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(draft, path)
}

export function removeReady(path: string): void {
  rmSync(path, { force: true })
}
