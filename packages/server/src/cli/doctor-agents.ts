/** What running agents takes, as far as it can be seen without a daemon. */
import type { Config } from '../app/config.ts'
import type { Home } from '../app/home.ts'
import { sandboxProblems } from '../exec/probe.ts'
import { agentUid } from '../exec/uid.ts'
import type { Check } from './check.ts'
import { isSynchronised } from './doctor-host.ts'
import { checkLlmSocketMode, checkPrices } from './doctor-models.ts'
import { checkBundleFile, checkRunFiles, checkSandboxes, checkTokenClock } from './doctor-runs.ts'

/** @param config undefined where it cannot be read. */
export function checkAgents(
  home: Home,
  config: Config | undefined,
  env: NodeJS.ProcessEnv,
): Check[] {
  const uid = agentUid(process.getuid?.() ?? 0, 'doctor', undefined)
  return [
    checkSandboxes(sandboxProblems({ path: env['PATH'] ?? '', uid })),
    ...checkRunFiles(home),
    ...checkLlmSocketMode(config?.llm.socket ?? home.llmSocket),
    ...(config === undefined
      ? []
      : [
          checkPrices(config.llm.prices_file),
          ...checkBundleFile(config.identity),
          ...checkTokenClock(config.identity, isSynchronised()),
        ]),
  ]
}
