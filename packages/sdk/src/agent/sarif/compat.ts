/**
 * The report exactly as the Python SDK shapes it, for those who compare the two. Its `fixes` lack what the schema
 * demands of a fix, so a strict consumer refuses a report with remediation in it.
 */
import type { Finding } from './finding.ts'
import type { ReportFacts } from './report.ts'
import { SARIF_SCHEMA, SARIF_VERSION } from './report.ts'
import { gradeOf } from './severity.ts'

export function compatDocument({ toolName, toolVersion, findings }: ReportFacts): object {
  const rules = new Map<string, Finding>()
  for (const finding of findings) if (!rules.has(finding.id)) rules.set(finding.id, finding)
  const driver = { name: toolName, version: toolVersion, rules: [...rules.values()].map(ruleOf) }
  return {
    $schema: SARIF_SCHEMA,
    version: SARIF_VERSION,
    runs: [{ tool: { driver }, results: findings.map(resultOf) }],
  }
}

function ruleOf({ id, title, description, severity, cwe }: Finding): object {
  const tag = cwe.startsWith('CWE-') ? cwe : `CWE-${cwe}`
  return {
    id,
    name: title,
    shortDescription: { text: title },
    fullDescription: { text: description },
    properties: {
      'security-severity': gradeOf(severity).score,
      ...(cwe !== '' && { tags: [tag, 'security'] }),
    },
  }
}

function resultOf({ id, description, severity, location, remediation }: Finding): object {
  const { file, startLine, endLine, startColumn, endColumn } = location
  const region = {
    startLine: Math.max(startLine, 1),
    ...(endLine !== 0 && { endLine }),
    ...(startColumn !== 0 && { startColumn }),
    ...(endColumn !== 0 && { endColumn }),
  }
  return {
    ruleId: id,
    level: gradeOf(severity).level,
    message: { text: description },
    locations: [{ physicalLocation: { artifactLocation: { uri: file }, region } }],
    ...(remediation !== '' && { fixes: [{ description: { text: remediation } }] }),
  }
}
