/** The report of a scan: findings in, `results.sarif` out, whole or not at all. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { OutputWriteError, SageSanctumError, SarifValidationError } from '../../sage/errors.ts'
import { compatDocument } from './compat.ts'
import { Finding, type FindingInput, TokenUsage, type TokenUsageInput } from './finding.ts'
import { jsonText } from './json-text.ts'
import type { Notification, ReportRun } from './report.ts'
import { strictDocument } from './strict.ts'
import { validateSarif } from './validate.ts'

export const SARIF_FILE = 'results.sarif'

export interface SarifOutputOptions {
  readonly toolName: string
  readonly toolVersion: string
  readonly findings?: readonly (Finding | FindingInput)[]
  readonly tokenUsage?: readonly (TokenUsage | TokenUsageInput)[]
  /** What the tool could not do. Not in the compatible shape. */
  readonly notifications?: readonly Notification[]
  /** The shape of the Python SDK, byte for byte, instead of the strict one. Default false. */
  readonly compat?: boolean
  /** What the runner does not know or the agent knows better; without a runner: all of it. */
  readonly run?: ReportRun
}

export class SarifOutput {
  readonly ioType = 'sarif'
  readonly toolName: string
  readonly toolVersion: string
  readonly findings: readonly Finding[]
  readonly tokenUsage: readonly TokenUsage[]
  readonly notifications: readonly Notification[]
  readonly compat: boolean
  readonly #run: ReportRun

  /** @throws ValidationError for a finding or usage with a member missing or of the wrong type. */
  constructor(options: SarifOutputOptions) {
    this.toolName = options.toolName
    this.toolVersion = options.toolVersion
    this.findings = (options.findings ?? []).map((one) =>
      one instanceof Finding ? one : new Finding(one),
    )
    this.tokenUsage = (options.tokenUsage ?? []).map((one) =>
      one instanceof TokenUsage ? one : new TokenUsage(one),
    )
    this.notifications = options.notifications ?? []
    this.compat = options.compat ?? false
    this.#run = options.run ?? {}
  }

  /**
   * The report as an object.
   *
   * @throws SarifValidationError when it would be invalid, e.g. for a path out of the repository. The
   *   compatible shape is not checked.
   */
  toSarif(run: ReportRun = {}): object {
    if (this.compat) return compatDocument(this)
    const known = { ...run, ...this.#run }
    const root = known.repositoryPath
    const document = strictDocument(this, {
      ...known,
      repositoryPath: root === undefined ? undefined : resolve(root),
    })
    const faults = validateSarif(document)
    if (faults.length === 0) return document
    const shown = faults.slice(0, 3).join('; ')
    throw new SarifValidationError(`the report is not valid SARIF 2.1.0: ${shown}`)
  }

  /**
   * Writes `results.sarif` into a directory, which is created. Readers see the old file or the whole new one.
   *
   * @returns The names of the files.
   * @throws SarifValidationError before anything is written; OutputWriteError when writing fails.
   */
  async write(directory: string, run: ReportRun = {}): Promise<string[]> {
    try {
      const text = jsonText(this.toSarif(run))
      await mkdir(directory, { recursive: true })
      await replaceFile(join(directory, SARIF_FILE), text)
      return [SARIF_FILE]
    } catch (cause) {
      if (cause instanceof SageSanctumError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new OutputWriteError(`the report could not be written: ${why}`, { cause })
    }
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(draft, 'wx', 0o644)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}
