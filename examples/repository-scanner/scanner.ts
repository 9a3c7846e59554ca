/**
 * An agent that looks for weaknesses in a repository: a cheap model sorts the files, a better one reads those that
 * look suspicious. The report says what was found, and what could not be looked at.
 */
import {
  type AgentResult,
  AuthError,
  ConfigurationError,
  type FindingInput,
  ForbiddenError,
  GatewayUnavailableError,
  ModelError,
  type Notification,
  type RepositoryInput,
  SageSanctumAgent,
  SageSanctumError,
  SarifOutput,
} from '@vestry/sdk/agent'
import {
  ANALYSIS,
  type Analysis,
  analysisMessages,
  findingOf,
  type SourceText,
  TRIAGE,
  type Triage,
  triageMessages,
} from './questions.ts'
import { readSource, sourceFiles } from './source-files.ts'

/** Files that are asked about at once. */
const AT_ONCE = 4
/** Of one scan; what is beyond is named in the report. */
const MAX_FILES = Number(process.env['SCAN_MAX_FILES'] || 500)

export class RepositoryScanner extends SageSanctumAgent {
  readonly name = 'repository-scanner'
  readonly version = '1.0.0'

  override async run(repository: RepositoryInput): Promise<AgentResult> {
    const ask = this.#models()
    const findings: FindingInput[] = []
    const notifications: Notification[] = []
    const failures: SageSanctumError[] = []

    const listed = await sourceFiles(repository)
    const files = listed.slice(0, MAX_FILES)
    if (listed.length > MAX_FILES) {
      const message = `${listed.length - MAX_FILES} files beyond the first ${MAX_FILES} were not scanned`
      notifications.push({ level: 'warning', message })
    }

    const scan = async (file: string) => {
      const source = await readSource(repository, file)
      if (typeof source === 'string') {
        notifications.push({ level: 'note', message: `not scanned: ${source}`, file })
      } else findings.push(...(await ask(source)))
    }
    const queue = files.values()
    let isOver = false
    const worker = async () => {
      for (const file of queue) {
        if (isOver || this.shutdownRequested) return
        try {
          await scan(file)
        } catch (error) {
          if (this.shutdownRequested) return
          if (!(error instanceof SageSanctumError)) throw error
          failures.push(error)
          notifications.push({ level: 'error', message: `not scanned: ${error.message}`, file })
          isOver ||= concernsAll(error)
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    if (isOver) notifications.push({ level: 'error', message: 'the scan ended before its end' })

    const failure = failures.find(concernsAll) ?? failures[0]
    return {
      output: new SarifOutput({
        toolName: this.name,
        toolVersion: this.version,
        findings,
        notifications,
        tokenUsage: this.context.usage.entries(),
      }),
      ...(failure !== undefined && {
        exitCode: failure.exitCode,
        error: `${failures.length} of ${files.length} files failed: ${failure.message}`,
      }),
      metadata: { files: files.length, findings: findings.length, failed: failures.length },
    }
  }

  /** Two models, chosen by what the run may use. */
  #models() {
    const { context, signal } = this
    const triage = context
      .createLlmClient('triage')
      .withStructuredOutput<Triage>({ schema: TRIAGE, name: 'triage' })
    const analysis = context
      .createLlmClient('analysis')
      .withStructuredOutput<Analysis>({ schema: ANALYSIS, name: 'analysis' })
    return async (source: SourceText): Promise<FindingInput[]> => {
      const { suspicious } = await triage.invoke(triageMessages(source), { signal })
      if (!suspicious) return []
      const { findings } = await analysis.invoke(analysisMessages(source), { signal })
      return findings.map((weakness) => findingOf(weakness, source))
    }
  }
}

/** No other file would fare better. A model's unusable answer is about one file only. */
function concernsAll(error: SageSanctumError): boolean {
  const classes = [AuthError, ConfigurationError, ForbiddenError, GatewayUnavailableError]
  if (error.code === 'dlp_blocked') return false
  if (classes.some((one) => error instanceof one)) return true
  return error instanceof ModelError && error.code !== 'invalid_output'
}
