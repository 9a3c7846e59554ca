/** A forwarder holds no secrets: which variables of its environment would be one. Pure. */
import { VestryError } from '@vestry/contract/errors'

/** Keys, trust bundles and identities of the servers that a forwarder stands in front of. */
const SETTINGS = new Set([
  'SAGE_GW_PROVIDER_KEYS_FILE',
  'SAGE_GW_SPIFFE_BUNDLE_FILE',
  'SAGE_GW_SPIFFE_BUNDLE_URL',
  'SAGE_GW_TTS_JWKS_FILE',
  'SAGE_GW_TTS_JWKS_URL',
  'SAGE_TTS_SIGNING_KEY_FILE',
  'SAGE_TTS_SPIFFE_BUNDLE_FILE',
  'SAGE_AS_SVID_FILE',
  'SPIFFE_JWT_PATH',
  'TRAT_FILE',
  'AGENT_PRIVATE_KEY',
  'VESTRY_PASSPHRASE_FILE',
  'SANCTUM_PASSPHRASE_FILE',
])

/** Whatever provider: `OPENAI_API_KEY`, `ACME_APIKEY`, `X_API_TOKEN`. */
const KEY_NAME = /(?:^|_)API_?(?:KEY|TOKEN)S?(?:_FILE)?$/i

/** @throws VestryError CONFIG_INVALID that names the variables, never their values. */
export function assertNoSecrets(env: NodeJS.ProcessEnv): void {
  const found = Object.keys(env)
    .filter((name) => env[name] !== undefined && env[name] !== '')
    .filter((name) => SETTINGS.has(name) || KEY_NAME.test(name))
    .sort()
  if (found.length === 0) return
  throw new VestryError(
    'CONFIG_INVALID',
    `a forwarder holds no secrets, but its environment has ${found.join(', ')}`,
    { hint: 'Unset them here: keys and trust bundles belong to the gateway', context: { found } },
  )
}
