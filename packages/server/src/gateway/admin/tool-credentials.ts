/**
 * The versions of a tool's credential as the gateway's admin wire knows them (gateway contract §13.2): each is a
 * credential of its own in the vault, and activating one writes its value to the path the tool uses.
 */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import {
  type Credential,
  type CredentialFacts,
  CredentialSettings,
  isPath,
} from '../../vault/credential.ts'
import type { CredentialStore } from '../../vault/credential-store.ts'

const PREFIX = 'gateway/creds/'

export interface ToolCredentialVersion {
  readonly id: string
  readonly tool: string
  readonly version: string
  readonly isActive: boolean
  readonly createdAt: string
  readonly activatedAt: string | null
  readonly deactivatedAt: string | null
}

interface Deps {
  readonly credentials: CredentialStore
  readonly now: () => number
}

const FACTS: CredentialFacts = {
  type: 'api_key',
  description: null,
  tags: ['gateway'],
  metadata: {},
  // The gateway uses it; nobody reads it.
  settings: CredentialSettings.parse({ use_only: true }),
  expires_at: null,
}

/** @param value Borrowed. @throws VestryError CONFLICT for a version that exists, INVALID_FIELD for its name. */
export async function setToolCredential(
  { credentials }: Deps,
  { tool, version, value, by }: { tool: string; version: string; value: Uint8Array; by: string },
): Promise<ToolCredentialVersion> {
  const path = `${PREFIX}${tool}/${version}`
  if (version.includes('/') || !isPath(path))
    throw new VestryError('INVALID_FIELD', 'version: expected letters, digits and . _ @ + = : -')
  const facts = { metadata: { id: randomUUID() } }
  const options = { createdBy: by, expectedVersion: 0 }
  const { value: stored } = await credentials.put(path, value, facts, options, FACTS)
  return described(stored)
}

/** @param pathOf Where the tool looks for its credential. @throws VestryError NOT_FOUND */
export async function activateToolCredential(
  deps: Deps,
  id: string,
  { by, pathOf }: { by: string; pathOf: (tool: string) => string },
): Promise<ToolCredentialVersion> {
  const { credentials, now } = deps
  const wanted = await byId(deps, id)
  const { tool } = described(wanted)
  const at = new Date(now()).toISOString()
  const options = { createdBy: by }
  const { secret } = await credentials.open(wanted.path)
  using value = secret
  await credentials.put(pathOf(tool), value.bytes, {}, options, FACTS)
  for await (const other of credentials.all({ prefix: `${PREFIX}${tool}/` })) {
    if (other.path === wanted.path || other.metadata['active'] !== 'true') continue
    await mark(deps, other, { active: 'false', deactivated_at: at })
  }
  return described(await mark(deps, wanted, { active: 'true', activated_at: at }))
}

/** Newest last. */
export async function listToolCredentials(
  { credentials }: Deps,
  tool?: string,
): Promise<ToolCredentialVersion[]> {
  const found: ToolCredentialVersion[] = []
  const prefix = tool === undefined ? PREFIX : `${PREFIX}${tool}/`
  for await (const credential of credentials.all({ prefix })) found.push(described(credential))
  return found.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))
}

/** @throws VestryError NOT_FOUND; CONFLICT for the active one. */
export async function deleteToolCredential(deps: Deps, id: string): Promise<void> {
  const found = await byId(deps, id)
  if (described(found).isActive) {
    throw new VestryError('CONFLICT', 'this version is in use', {
      hint: 'Activate another version first',
    })
  }
  await deps.credentials.remove(found.path)
}

async function byId({ credentials }: Deps, id: string): Promise<Credential> {
  for await (const credential of credentials.all({ prefix: PREFIX }))
    if (credential.metadata['id'] === id) return credential
  throw new VestryError('NOT_FOUND', 'there is no such credential version')
}

async function mark(
  { credentials }: Deps,
  credential: Credential,
  marks: Readonly<Record<string, string>>,
): Promise<Credential> {
  const metadata = { ...credential.metadata, ...marks }
  const { value } = await credentials.amend(credential.path, { metadata })
  return value
}

function described({ path, metadata, created_at }: Credential): ToolCredentialVersion {
  const [tool = '', version = ''] = path.slice(PREFIX.length).split('/')
  return {
    id: text(metadata['id']) ?? '',
    tool,
    version,
    isActive: metadata['active'] === 'true',
    createdAt: new Date(created_at).toISOString(),
    activatedAt: text(metadata['activated_at']),
    deactivatedAt: text(metadata['deactivated_at']),
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
