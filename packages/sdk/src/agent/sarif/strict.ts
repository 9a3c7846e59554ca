/**
 * The report as the standard and code scanning want it: complete regions, relative URIs, fingerprints, help, the
 * usage of models. The same findings give the same bytes, in whatever order an agent met them.
 */
import { createHash } from 'node:crypto'
import { redact, redactValue } from '../../sage/redact.ts'
import { type ArtifactPath, artifactPath } from './artifact-uri.ts'
import { Finding, Location } from './finding.ts'
import { type Region, regionOf } from './region.ts'
import { type ReportFacts, type ReportRun, SARIF_SCHEMA, SARIF_VERSION } from './report.ts'
import { cweNumber, descriptionOf, rulesOf } from './rules.ts'
import { gradeOf } from './severity.ts'
import { rootNames, type SourceFiles, sourceFiles } from './source-lines.ts'

/** A finding, and where it is in the repository. */
interface Placed {
  readonly finding: Finding
  readonly artifact: ArtifactPath
  readonly region: Region
  readonly fingerprints: Readonly<Record<string, string>>
}

/** @throws SarifValidationError for a path that leads out of the repository. */
export function strictDocument(facts: ReportFacts, run: ReportRun): object {
  const files = sourceFiles(run.repositoryPath)
  const roots = rootNames(run.repositoryPath)
  const placed = facts.findings
    .map(clean)
    .map((finding) => place(finding, roots, files))
    .sort(inOrder)
  const findings = placed.map(({ finding }) => finding)
  const driver = { name: facts.toolName, version: facts.toolVersion, rules: rulesOf(findings) }
  const { runId, agentName = facts.toolName } = run
  const { tokenUsage = [] } = facts.tokenUsage.length > 0 ? facts : run
  const usage = tokenUsage.map((one) => ({ ...one }))
  return {
    $schema: SARIF_SCHEMA,
    version: SARIF_VERSION,
    runs: [
      {
        tool: { driver },
        ...(runId !== undefined && { automationDetails: { id: `${agentName}/${runId}` } }),
        invocations: [invocationOf(facts, run, roots)],
        columnKind: 'utf16CodeUnits',
        results: withoutRepeats(placed).map(resultOf),
        properties: {
          ...(usage.length > 0 && { tokenUsage: usage }),
          ...(run.partial === true && { partial: true }),
        },
      },
    ],
  }
}

/** Text without credentials and half characters: a report is uploaded and read by many. */
function clean(finding: Finding): Finding {
  const text = (value: string) => redact(value).toWellFormed()
  const { file, ...lines } = finding.location
  return new Finding({
    id: text(finding.id),
    title: text(finding.title),
    description: text(finding.description),
    severity: finding.severity.toLowerCase(),
    location: new Location({ file, ...lines }),
    cwe: text(finding.cwe),
    remediation: text(finding.remediation),
    confidence: text(finding.confidence),
    metadata: sorted(redactValue(finding.metadata)) as Record<string, unknown>,
  })
}

function place(finding: Finding, roots: readonly string[], files: SourceFiles): Placed {
  const artifact = artifactPath(finding.location.file, roots)
  const source = files(artifact.path)
  const region = regionOf(finding.location, source)
  const line = source?.line(region.startLine)
  const text = (line?.text ?? '').replaceAll(/\s/g, '')
  const own = createHash('sha256').update([finding.id, artifact.uri, text].join('\n')).digest('hex')
  const fingerprints = {
    ...(line !== undefined && { primaryLocationLineHash: line.hash }),
    'sageFinding/v1': own,
  }
  return { finding, artifact, region, fingerprints }
}

/** By place, then by what is said there; the worst and surest of repeats comes first. */
function inOrder(one: Placed, other: Placed): number {
  return (
    compare(one.artifact.uri, other.artifact.uri) ||
    one.region.startLine - other.region.startLine ||
    one.region.startColumn - other.region.startColumn ||
    one.region.endLine - other.region.endLine ||
    one.region.endColumn - other.region.endColumn ||
    compare(one.finding.id, other.finding.id) ||
    compare(descriptionOf(one.finding), descriptionOf(other.finding)) ||
    gradeOf(other.finding.severity).rank - gradeOf(one.finding.severity).rank ||
    compare(JSON.stringify(one.finding), JSON.stringify(other.finding))
  )
}

function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}

/** Same rule, place and message: one result. */
function withoutRepeats(placed: readonly Placed[]): Placed[] {
  const seen = new Set<string>()
  return placed.filter(({ finding, artifact, region }) => {
    const key = JSON.stringify([finding.id, artifact.uri, region, descriptionOf(finding)])
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

function resultOf({ finding, artifact, region, fingerprints }: Placed): object {
  const { confidence, remediation, metadata, cwe } = finding
  return {
    ruleId: finding.id,
    level: gradeOf(finding.severity).level,
    message: { text: descriptionOf(finding) },
    locations: [{ physicalLocation: { artifactLocation: { uri: artifact.uri }, region } }],
    partialFingerprints: fingerprints,
    properties: {
      confidence,
      ...(remediation !== '' && { remediation }),
      ...(cwe !== '' && cweNumber(cwe) === undefined && { cwe }),
      ...(Object.keys(metadata).length > 0 && { metadata }),
    },
  }
}

function invocationOf(facts: ReportFacts, run: ReportRun, roots: readonly string[]): object {
  const { partial = false, exitCode } = run
  const notices = facts.notifications.map(({ level, message, file }) => ({
    level,
    message: { text: redact(message).toWellFormed() || level },
    ...(file !== undefined && { locations: [locationOf(file, roots)] }),
  }))
  return {
    executionSuccessful: !partial && (exitCode ?? 0) === 0,
    ...(exitCode !== undefined && { exitCode }),
    ...(notices.length > 0 && { toolExecutionNotifications: notices }),
  }
}

function locationOf(file: string, roots: readonly string[]): object {
  return { physicalLocation: { artifactLocation: { uri: artifactPath(file, roots).uri } } }
}

/** Members in one order, however an agent built them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([one], [other]) => compare(one, other))
  return Object.fromEntries(entries.map(([name, member]) => [name.toWellFormed(), sorted(member)]))
}
