/** The key that one call carries: an organisation's own, else everyone's; opened for it, and given back after it. */
import { VestryError } from '@vestry/contract/errors'
import { buildInjection, type Injection } from '../../egress/injection.ts'
import type { Borrowed, KeptInjections } from '../../egress/kept-injections.ts'
import type { Target } from '../../egress/url.ts'
import { hostMatches, parseHostPattern } from '../../policy/host.ts'
import type { Seal } from '../../seal/seal.ts'
import { type Credential, isPath } from '../../vault/credential.ts'
import type { CredentialStore } from '../../vault/credential-store.ts'
import type { KnownProvider } from './provider-table.ts'

export interface KeyDeps {
  readonly credentials: CredentialStore
  readonly seal: Seal
  readonly injections: KeptInjections
}

export interface ProviderKey extends Disposable {
  /** Undefined: the provider asks for no key. */
  readonly injection: Borrowed['injection'] | undefined
  readonly path: string
  readonly version: number
  /** @throws VestryError PROVIDER_KEY_MISSING where the key may not go there. */
  assertBoundTo(target: Target): void
}

/** @throws VestryError PROVIDER_KEY_MISSING */
export async function openKey(
  deps: KeyDeps,
  known: KnownProvider,
  org: string,
): Promise<ProviderKey> {
  const { credentials, seal, injections } = deps
  const { drops } = injections
  const found = await findKey(credentials, known, org)
  if (found === undefined) {
    if (known.credential === undefined) return keyless(known)
    throw missing(known)
  }
  void seal.keys // what is kept must not outlive the open vault either
  const { path, version, settings } = found
  const { header, prefix } = known.provider.auth
  const kept = `${path} ${version} ${header}`
  const borrowed =
    injections.borrow(kept) ?? injections.keep(kept, await inject(credentials, known, found), drops)
  return {
    injection: borrowed.injection,
    path,
    version,
    assertBoundTo: (target) => {
      const hosts = settings.allowed_hosts ?? []
      if (hosts.length === 0) return
      if (hosts.some((text) => hostMatches(parseHostPattern(text), target))) return
      throw new VestryError('PROVIDER_KEY_MISSING', `The key of ${known.name} may not go there`, {
        hint: 'Ask an operator to correct the hosts of the credential, or the address of the provider',
      })
    },
    [Symbol.dispose]: () => borrowed[Symbol.dispose](),
  }

  async function inject(
    store: CredentialStore,
    provider: KnownProvider,
    credential: Credential,
  ): Promise<Injection> {
    const opened = await store.open(credential.path, credential.version).catch((cause: unknown) => {
      const absent = cause instanceof VestryError && cause.code === 'CREDENTIAL_NOT_FOUND'
      throw absent ? missing(provider) : cause
    })
    using secret = opened.secret
    const bearer = header.toLowerCase() === 'authorization' && prefix === 'Bearer '
    return buildInjection(
      bearer ? {} : { headerType: 'custom', headerName: header, headerPrefix: prefix },
      secret, // with copies of its own
    )
  }
}

/** The credential that a call of `org` would use; undefined: there is none. */
export async function findKey(
  credentials: CredentialStore,
  { name, credential }: Pick<KnownProvider, 'name' | 'credential'>,
  org: string,
): Promise<Credential | undefined> {
  const paths = [...orgPath(org, name), ...(credential === undefined ? [] : [credential])]
  for (const path of paths) {
    const found = await credentials.find(path)
    if (found !== undefined && found.version > 0) return found
  }
  return undefined
}

/** An organisation whose name fits no path has no key of its own. */
function orgPath(org: string, provider: string): string[] {
  const path = `llm/orgs/${org}/${provider}`
  return org !== '' && !org.includes('/') && isPath(path) ? [path] : []
}

function keyless({ name }: Pick<KnownProvider, 'name'>): ProviderKey {
  return {
    injection: undefined,
    path: `llm:${name}`,
    version: 0,
    assertBoundTo: () => undefined,
    [Symbol.dispose]: () => undefined,
  }
}

function missing({ name }: Pick<KnownProvider, 'name'>): VestryError {
  return new VestryError('PROVIDER_KEY_MISSING', `There is no key for ${name}`, {
    hint: `Ask an operator to add it: vestry cred add llm/${name} --value-stdin`,
  })
}
