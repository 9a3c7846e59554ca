/** What the running daemon says of telemetry: its sockets, who can claim an identity, what did not arrive. */
import { statSync } from 'node:fs'
import { cellText, counted, type Row, rowOf } from './cell.ts'
import { type Check, ok, warn } from './check.ts'
import { checkExport } from './doctor-export.ts'

/** @param telemetry Of `admin.server.show`. */
export function checkTelemetry(telemetry: Row): Check[] {
  if (telemetry['enabled'] !== true)
    return [ok('telemetry', 'off (telemetry.enabled): agents have nowhere to send events')]
  return [
    ...checkSockets(telemetry['sockets']),
    ...checkClaims(telemetry),
    ...checkGaps(telemetry),
    ...checkExport(rowOf(telemetry, 'export')),
  ]
}

function checkSockets(given: unknown): Check[] {
  const sockets = Array.isArray(given) ? given.map(String) : []
  const gone = sockets.filter((path) => !isSocket(path))
  if (gone.length > 0) {
    return gone.map((path) =>
      warn('telemetry', `${path} is gone: nobody can reach it`, 'Restart the daemon'),
    )
  }
  return [ok('telemetry', `listens on ${sockets.join(', ')}`)]
}

function checkClaims(telemetry: Row): Check[] {
  const why = telemetry['claims_unavailable']
  if (why === undefined) return [ok('claims', counted(telemetry['claims'], 'live claim'))]
  return [
    warn(
      'claims',
      `nobody can claim an identity, every caller is anonymous: ${cellText(why)}`,
      'Run the daemon on Linux, with its optional dependency koffi installed',
    ),
  ]
}

function checkGaps(telemetry: Row): Check[] {
  const { at, producer, missing } = rowOf(telemetry, 'last_gap')
  if (at === undefined) return []
  return [
    warn(
      'telemetry',
      `${counted(missing, 'event')} of ${cellText(producer)} did not arrive (${cellText(at)})`,
      'Look at them: vestry audit query --action coat_gap',
    ),
  ]
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true
}
