/** The one form of a tool that is analysed, signed, compared and shown (runtime contract §6.1, §7.3). */
import type { TokenObject } from '../json/raw-number.ts'

/** Exactly these four members are signed. */
export interface ToolDocument {
  readonly name: string
  readonly description: string
  readonly provider: { readonly name: string; readonly public_key_url: string | null }
  /** Whole JSON Schema; `type`, `properties` and `required` are always there. */
  readonly schema: TokenObject
}
