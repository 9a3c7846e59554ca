/** What the running daemon says of the export of telemetry. */
import { cellText, counted, type Row, rowOf } from './cell.ts'
import { type Check, ok, warn } from './check.ts'

/** @param status Of the export; empty where nothing is exported. */
export function checkExport(status: Row): Check[] {
  if (status['state'] === undefined) return []
  const checks: Check[] = []
  const { problem, lag, lost } = status
  if (typeof problem === 'string')
    checks.push(warn('export', problem, 'See "vestry telemetry status"'))
  else checks.push(ok('export', `${counted(lag, 'record')} behind`))
  const refused = rowOf(status, 'refused')
  if (refused['count'] !== undefined) {
    checks.push(
      warn(
        'export',
        `${cellText(refused['count'])} were refused: ${cellText(refused['reason'])}`,
        `Send them again: vestry telemetry export --from ${cellText(refused['first'])}`,
      ),
    )
  }
  if (typeof lost === 'number' && lost > 0) {
    checks.push(
      warn(
        'export',
        `${counted(lost, 'record')} were deleted before they were sent`,
        'Prune later',
      ),
    )
  }
  return checks
}
