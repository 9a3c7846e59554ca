/** Puts secrets together: where they are kept, and how other parts of the daemon get at them. */
import { rowGuard } from '../identity/row-guard.ts'
import { secretRoutes } from '../runtime/routes/secrets.ts'
import { assembleSecrets, type SecretsPart } from '../secrets/secrets-part.ts'
import { caPem, type Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface SecretsPiece extends RuntimePiece {
  readonly part: SecretsPart
}

export function assembleSecretsPiece(
  parts: Parts,
  deps: { env: NodeJS.ProcessEnv; warn: (line: string) => void },
): SecretsPiece {
  const { config, home, store, seal, credentials, audit, vault } = parts
  const part = assembleSecrets({
    store,
    guard: rowGuard(() => seal.keys),
    keys: () => seal.keys,
    credentials,
    stations: vault.stations,
    egress: vault.egress.deps,
    dropCredential: vault.egress.dropCredential,
    caPem: caPem(config),
    env: deps.env,
    dataDir: home.dir,
    node: audit.chain,
    warn: deps.warn,
  })
  return {
    part,
    routes: secretRoutes({ ...part, stations: vault.stations }),
    verbs: part.verbs,
    close: () => part.close(),
  }
}
