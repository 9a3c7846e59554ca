/** What a HashiCorp Vault or OpenBao back end is configured with; the rest of the folder works with this. */

export type VaultAuth =
  | { readonly method: 'token'; readonly token: string }
  | { readonly method: 'approle'; readonly roleId: string; readonly secretId: string }
  | { readonly method: 'kubernetes'; readonly role: string; readonly tokenPath: string }
  | {
      readonly method: 'aws_iam'
      readonly role: string
      /** Chooses the regional STS; absent: the global one. */
      readonly region: string | undefined
      readonly serverId: string | undefined
    }

export interface VaultSettings {
  /** Without trailing slash. */
  readonly url: string
  /** Of the KV version 2 engine. */
  readonly mount: string
  /** Of the auth method, such as `approle`. */
  readonly authMount: string
  readonly namespace: string | undefined
  /** A file of authorities trusted besides the system's. */
  readonly caFile: string | undefined
  readonly requestTimeoutMs: number
  readonly auth: VaultAuth
}
