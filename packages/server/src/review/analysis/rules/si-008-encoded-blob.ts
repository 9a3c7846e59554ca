/** SI-008: a long run of encoded text where a person is meant to read. */
import { encodedRuns } from '../decode.ts'
import { severityRank } from '../findings.ts'
import type { Hit, Rule, Subject, TargetKind } from '../rule.ts'
import { PROSE } from '../text-hits.ts'
import { TextTarget } from '../views.ts'
import { downloadAndRun } from './mc-001-download-and-run.ts'
import { dynamicExecution } from './mc-002-dynamic-execution.ts'
import { destructiveCommands } from './mc-003-destructive-commands.ts'
import { instructionOverride } from './si-001-instruction-override.ts'
import { roleMarkup } from './si-002-role-markup.ts'
import { concealment } from './si-003-concealment.ts'
import { toolSteering } from './si-004-tool-steering.ts'

const MIN_RUN = 64
/** Digests are long and say nothing. */
const DIGEST = /^(?:0x)?(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/i
/** What is asked of the text inside. */
const INNER: readonly Rule[] = [
  instructionOverride,
  roleMarkup,
  concealment,
  toolSteering,
  downloadAndRun,
  dynamicExecution,
  destructiveCommands,
]
const KINDS: ReadonlySet<TargetKind> = new Set(
  [...PROSE].filter((kind) => !['format', 'ref'].includes(kind)),
)

export const encodedBlob: Rule = {
  id: 'SI-008',
  category: 'schema_injection',
  title: 'Holds encoded text',
  reason:
    'What a reviewer cannot read without a tool is not reviewed; models decode base64 without being asked.',
  recommendation: 'Write texts in the clear, and keep data out of descriptions.',
  find: blobs,
  examples: {
    hit: {
      tool: {
        name: 'play',
        description:
          'Plays. VGhpcyBzZW50ZW5jZSB3YXMgZW5jb2RlZCBzbyB0aGF0IG5vYm9keSByZWFkcyBpdCBiZWZvcmUgdGhlIG1vZGVsIGRvZXMu',
      },
    },
    nearMiss: {
      tool: {
        name: 'verify',
        description:
          'Compares with e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, see https://docs.example.com/a/very/long/path/that/names/many/things/one/after/the/other/index.html',
      },
    },
  },
}

function* blobs(subject: Subject): Iterable<Hit> {
  for (const target of subject.targets) {
    if (!KINDS.has(target.kind) || target.raw.length < MIN_RUN) continue
    for (const { run, says } of encodedRuns(target.raw, MIN_RUN)) {
      if (DIGEST.test(run) || !looksEncoded(run)) continue
      const inner = says === undefined ? undefined : worstInside(subject, says)
      yield {
        location: target.location,
        severity: inner?.severity ?? 'medium',
        confidence: inner?.confidence ?? 0.6,
        description:
          says === undefined
            ? `A run of ${run.length} characters is encoded, and not as text.`
            : `A run of ${run.length} characters is text in disguise.`,
        evidence: says ?? run,
      }
    }
  }
}

/** Paths and long words hold no upper case and digits between lower case, all mixed. */
function looksEncoded(run: string): boolean {
  if (/^[0-9a-f]+$/i.test(run)) return true
  if (run.split('/').length * 24 > run.length && /[a-z]{4,}\/[a-z]{4,}/.test(run)) return false
  return /[a-z]/.test(run) && /[A-Z]/.test(run) && !/^[A-Za-z]+(?:[_-][A-Za-z]+)+$/.test(run)
}

function worstInside(subject: Subject, says: string): Hit | undefined {
  const inner: Subject = {
    ...subject,
    params: [],
    targets: [new TextTarget('/description', 'description', says)],
  }
  const nothing = {
    knownTools: [],
    earlier: [],
    knownProviders: [],
    providerKey: { state: 'not_asked' },
  } as const
  return INNER.flatMap((rule) => [...rule.find(inner, nothing)]).sort(
    (one, other) =>
      severityRank(other.severity) - severityRank(one.severity) ||
      other.confidence - one.confidence,
  )[0]
}
