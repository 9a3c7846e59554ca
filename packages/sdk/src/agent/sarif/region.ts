/** The part of a file a finding covers: complete and in order, whatever the agent left out. Pure. */
import type { Location } from './finding.ts'
import type { SourceFile } from './source-lines.ts'

export interface Region {
  readonly startLine: number
  readonly startColumn: number
  readonly endLine: number
  readonly endColumn: number
}

/**
 * Lines and columns that the file does not have are pulled back to those it has; a start line beyond its end
 * stays, for there is nothing nearby that it could mean.
 *
 * @param source undefined when the file cannot be read: a missing end column is then one past the start.
 */
export function regionOf(location: Location, source: SourceFile | undefined): Region {
  const startLine = Math.max(location.startLine, 1)
  const wanted = Math.max(location.endLine, startLine)
  const last = source?.lineCount ?? wanted
  const endLine = Math.max(Math.min(wanted, last), startLine)
  const endOf = (line: number) => source?.line(line)?.endColumn
  const startColumn = atMost(Math.max(location.startColumn, 1), endOf(startLine))
  const given = location.endColumn > 0 && endLine === wanted ? location.endColumn : undefined
  const endColumn = atMost(given ?? endOf(endLine) ?? startColumn + 1, endOf(endLine))
  const least = endLine === startLine ? startColumn : 1
  return { startLine, startColumn, endLine, endColumn: Math.max(endColumn, least) }
}

function atMost(value: number, limit: number | undefined): number {
  return limit === undefined ? value : Math.min(value, limit)
}
