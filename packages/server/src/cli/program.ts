/** The whole command line: what there is, how it is run, and how every failure ends. */
import { VERSION } from '@vestry/contract/version'
import { Command, CommanderError } from 'commander'
import { agentCommands } from './agent.ts'
import { inOurWords } from './aliases.ts'
import { approvalCommands } from './approval.ts'
import { auditCommands } from './audit.ts'
import { backupCommands } from './backup.ts'
import { claimCommands } from './claim.ts'
import { addGlobalOptions, type Run, runner } from './command.ts'
import { credentialCommands } from './cred.ts'
import { deploymentCommands } from './deployment.ts'
import { doctorCommand } from './doctor.ts'
import { dslCommands } from './dsl.ts'
import { dslDeployCommands } from './dsl-deploy.ts'
import { addExamples } from './examples.ts'
import { execCommand } from './exec.ts'
import { EXIT, exitCodeFor } from './exit-code.ts'
import { failureLine, failureOf } from './failure.ts'
import { forwardCommand } from './forward.ts'
import { initCommand } from './init.ts'
import { inputCommands } from './input.ts'
import { jobCommands } from './job.ts'
import { keyCommands } from './key.ts'
import { knowledgeCommands } from './knowledge.ts'
import { leaseCommands } from './lease.ts'
import { llmCommands } from './llm.ts'
import { mcpCommands } from './mcp.ts'
import { operatorCommands } from './operator.ts'
import { policyCommands } from './policy.ts'
import { reviewCommands } from './review.ts'
import { reviewCorpusCommand } from './review-corpus.ts'
import { runCommands } from './run.ts'
import { scheduleCommands } from './schedule.ts'
import { sealCommands } from './seal.ts'
import { secretCommands } from './secret.ts'
import { sessionCommands } from './session.ts'
import { slotCommands } from './slot.ts'
import { statusCommand } from './status.ts'
import { stopCommand } from './stop.ts'
import { telemetryCommands } from './telemetry.ts'
import type { Terminal } from './terminal.ts'
import { jsonText } from './terminal-text.ts'
import { tokenCommands } from './token.ts'
import { toolCommands } from './tool.ts'
import { traceCommands } from './trace.ts'
import { upCommand } from './up.ts'
import { usageError } from './usage.ts'
import { versionCommand } from './version.ts'
import { workflowCommands } from './workflow.ts'

/** Runs one command line. Never throws: every failure is told and becomes an exit code. */
export async function runProgram(
  argv: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  let exitCode: number = EXIT.done
  let help = ''
  const run = runner(terminal, signal, (code) => {
    exitCode = code
  })
  const program = createProgram(run, terminal, (text) => {
    help += text
  })
  try {
    await program.parseAsync(inOurWords(argv), { from: 'user' })
    return exitCode
  } catch (thrown) {
    const isUsage = thrown instanceof CommanderError
    if (isUsage && thrown.exitCode === 0) return EXIT.done // help or version was asked for
    const failure = failureOf(isUsage ? usageError(thrown) : thrown)
    if (wantsJson(argv)) terminal.stdout.write(jsonText({ error: failure }))
    else terminal.stderr.write(`${help}${failureLine(failure)}`)
    return exitCodeFor(failure.code)
  }
}

/** @param onHelp Gets the help text that goes with a usage error. */
export function createProgram(
  run: Run,
  terminal: Terminal,
  onHelp: (text: string) => void = () => {},
): Command {
  const program = new OurCommand('vestry')
    .description('lets AI agents act without holding the keys')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      // Commander writes its own error line here too; ours replaces it.
      writeErr: (text) => {
        if (!text.startsWith('error: ')) onHelp(text)
      },
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .version(VERSION, '--version', 'print the version')
  for (const register of [
    upCommand,
    stopCommand,
    initCommand,
    sealCommands,
    statusCommand,
    doctorCommand,
    agentCommands,
    credentialCommands,
    secretCommands,
    policyCommands,
    toolCommands,
    reviewCommands,
    tokenCommands,
    runCommands,
    jobCommands,
    leaseCommands,
    llmCommands,
    mcpCommands,
    knowledgeCommands,
    dslCommands,
    dslDeployCommands,
    inputCommands,
    deploymentCommands,
    scheduleCommands,
    workflowCommands,
    sessionCommands,
    claimCommands,
    approvalCommands,
    keyCommands,
    operatorCommands,
    slotCommands,
    auditCommands,
    traceCommands,
    telemetryCommands,
    execCommand,
    forwardCommand,
    backupCommands,
    versionCommand,
    reviewCorpusCommand,
  ]) {
    register(program, run)
  }
  addGlobalOptions(program)
  addExamples(program)
  return program
}

/** A misspelt option is told before one that is missing: it may be that one. */
class OurCommand extends Command {
  override createCommand(name?: string): Command {
    return new OurCommand(name)
  }

  override parseOptions(argv: string[]): ReturnType<Command['parseOptions']> {
    const parsed = super.parseOptions(argv)
    if (parsed.unknown.length > 0) for (const option of this.options) option.mandatory = false
    return parsed
  }
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return argv.slice(0, end === -1 ? argv.length : end).includes('--json')
}
