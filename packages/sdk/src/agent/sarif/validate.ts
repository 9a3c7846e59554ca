/**
 * The rules of SARIF 2.1.0 for what our reports hold, and those of code scanning that go further: no empty text, at
 * least one location, a whole region, URIs that are relative. What the standard allows beyond that is not known here.
 */
import type { Region } from './region.ts'
import { faultsOf, type Shape } from './shape.ts'

const TEXT: Shape = { is: 'text' }
const ANY_TEXT: Shape = { is: 'text', empty: true }
const POSITION: Shape = { is: 'integer', least: 1 }

/** Segments of unreserved, escaped and other allowed characters; no scheme, no root, no way up. */
const RELATIVE_URI =
  /^(?!\/)(?!\.\.?(?:\/|$))(?!.*\/\.\.(?:\/|$))(?:[A-Za-z0-9\-._~!$&'()*+,;=@/]|%[0-9A-Fa-f]{2})+$/

const PROPERTIES: Shape = {
  is: 'object',
  members: { tags: { is: 'list', of: ANY_TEXT, unique: true } },
  required: [],
  open: true,
}

function object(required: Record<string, Shape>, optional: Record<string, Shape> = {}): Shape {
  return { is: 'object', members: { ...required, ...optional }, required: Object.keys(required) }
}

const MESSAGE = object({ text: TEXT }, { markdown: TEXT })

const REGION = object({
  startLine: POSITION,
  startColumn: POSITION,
  endLine: POSITION,
  endColumn: POSITION,
})

const ARTIFACT = object({ uri: { is: 'text', pattern: RELATIVE_URI } })

const RULE = object({
  id: TEXT,
  name: { is: 'text', longest: 255 },
  shortDescription: object({ text: { is: 'text', longest: 1024 } }),
  fullDescription: object({ text: { is: 'text', longest: 1024 } }),
  help: MESSAGE,
  properties: {
    is: 'object',
    members: {
      tags: { is: 'list', of: TEXT, unique: true },
      'security-severity': { is: 'text', pattern: /^(?:\d\.\d|10\.0)$/ },
      precision: { is: 'one of', values: ['very-high', 'high', 'medium', 'low'] },
    },
    required: ['tags'],
  },
})

const RESULT = object({
  ruleId: TEXT,
  level: { is: 'one of', values: ['none', 'note', 'warning', 'error'] },
  message: MESSAGE,
  locations: {
    is: 'list',
    of: object({ physicalLocation: object({ artifactLocation: ARTIFACT, region: REGION }) }),
    least: 1,
  },
  partialFingerprints: { is: 'map', of: TEXT },
  properties: PROPERTIES,
})

const NOTIFICATION = object(
  { message: MESSAGE, level: { is: 'one of', values: ['note', 'warning', 'error'] } },
  {
    locations: {
      is: 'list',
      of: object({ physicalLocation: object({ artifactLocation: ARTIFACT }) }),
      unique: true,
    },
  },
)

const INVOCATION = object(
  { executionSuccessful: { is: 'boolean' } },
  {
    exitCode: { is: 'integer' },
    toolExecutionNotifications: { is: 'list', of: NOTIFICATION },
  },
)

const DRIVER = object({
  name: TEXT,
  version: TEXT,
  rules: { is: 'list', of: RULE, unique: true },
})

const RUN = object(
  {
    tool: object({ driver: DRIVER }),
    invocations: { is: 'list', of: INVOCATION, least: 1 },
    columnKind: { is: 'one of', values: ['utf16CodeUnits', 'unicodeCodePoints'] },
    results: { is: 'list', of: RESULT },
  },
  { automationDetails: object({ id: TEXT }), properties: PROPERTIES },
)

const REPORT = object({
  $schema: TEXT,
  version: { is: 'one of', values: ['2.1.0'] },
  runs: { is: 'list', of: RUN, least: 1 },
})

/** @returns What is wrong with a report, each as `<path>: <what>`; nothing when it is valid. */
export function validateSarif(document: unknown): string[] {
  const faults = faultsOf(document, REPORT)
  return faults.length > 0 ? faults : orderFaults(document as WithRuns)
}

/** What a shape cannot say: a region ends where it starts, or later. */
function orderFaults({ runs }: WithRuns): string[] {
  return runs.flatMap(({ results }, run) =>
    results.flatMap(({ locations }, index) =>
      locations.every(({ physicalLocation: { region } }) => isForward(region))
        ? []
        : [`/runs/${run}/results/${index}: the region ends before it starts`],
    ),
  )
}

function isForward({ startLine, startColumn, endLine, endColumn }: Region): boolean {
  return endLine > startLine || (endLine === startLine && endColumn >= startColumn)
}

/** What a document is once it has the shape. */
interface WithRuns {
  runs: { results: { locations: { physicalLocation: { region: Region } }[] }[] }[]
}
