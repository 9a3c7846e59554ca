/** Credentials as rows and back, authenticated on the way in: plain columns carry a row MAC. */
import type { Selectable } from 'kysely'
import { checkRow, type RowKeys, rowMac } from '../seal/row-mac.ts'
import type { Tables } from '../store/schema.ts'
import {
  type Credential,
  type CredentialFacts,
  CredentialSettings,
  type CredentialVersion,
} from './credential.ts'

export type CredentialRow = Selectable<Tables['credential']>
export type VersionRow = Selectable<Tables['credential_version']>

/** Settings that a row written before they existed does not hold. */
const DEFAULT_SETTINGS: CredentialSettings = CredentialSettings.parse({})

export const CREDENTIAL_COLUMNS = [
  'path',
  'type',
  'description',
  'tags_json',
  'metadata_json',
  'settings_json',
  'version',
  'min_decrypt_version',
  'created_at',
  'updated_at',
  'expires_at',
  'deleted_at',
  'mac',
] as const satisfies readonly (keyof CredentialRow)[]

export const VERSION_COLUMNS = [
  'path',
  'version',
  'record',
  'created_at',
  'created_by',
  'destroyed_at',
  'encryptions',
  'mac',
] as const satisfies readonly (keyof VersionRow)[]

export function sealCredential(credential: Credential, keys: RowKeys): CredentialRow {
  const row = {
    path: credential.path,
    type: credential.type,
    description: credential.description,
    tags_json: JSON.stringify(credential.tags),
    metadata_json: JSON.stringify(credential.metadata),
    settings_json: JSON.stringify(credential.settings),
    version: credential.version,
    min_decrypt_version: credential.min_decrypt_version,
    created_at: credential.created_at,
    updated_at: credential.updated_at,
    expires_at: credential.expires_at,
    deleted_at: credential.deleted_at,
  }
  return { ...row, mac: rowMac(keys, 'credential', row.path, row) }
}

/** @throws VestryError STORE_CORRUPT when the row is not the one that was written. */
export function openCredential(row: CredentialRow, keys: RowKeys): Credential {
  checkRow(keys, 'credential', row.path, row, row.mac)
  // The MAC is right, so we wrote these columns and they have the shapes we gave them.
  return {
    type: row.type as CredentialFacts['type'],
    description: row.description,
    tags: JSON.parse(row.tags_json) as string[],
    metadata: JSON.parse(row.metadata_json) as Record<string, string>,
    settings: { ...DEFAULT_SETTINGS, ...(JSON.parse(row.settings_json) as CredentialSettings) },
    expires_at: row.expires_at,
    path: row.path,
    version: row.version,
    min_decrypt_version: row.min_decrypt_version,
    created_at: row.created_at,
    updated_at: row.updated_at,
    deleted_at: row.deleted_at,
  }
}

/** `encryptions` stays outside the MAC: it only ever grows, and is raised without an admin change. */
function versionFacts({
  mac: _,
  encryptions: __,
  ...facts
}: VersionRow): Omit<VersionRow, 'mac' | 'encryptions'> {
  return facts
}

export function sealVersion(version: Omit<VersionRow, 'mac'>, keys: RowKeys): VersionRow {
  const row = { ...version, mac: new Uint8Array() }
  return { ...row, mac: rowMac(keys, 'credential_version', versionId(row), versionFacts(row)) }
}

/** @throws VestryError STORE_CORRUPT */
export function openVersion(row: VersionRow, keys: RowKeys): CredentialVersion {
  checkRow(keys, 'credential_version', versionId(row), versionFacts(row), row.mac)
  const { path, version, created_at, created_by, destroyed_at, encryptions } = row
  return { path, version, created_at, created_by, destroyed_at, encryptions }
}

function versionId({ path, version }: { path: string; version: number }): string {
  return `${path}#${version}` // '#' is in no path
}
