/** What review tells the parts that run tools: is this, exactly, what somebody signed? */
import type { ToolDocument } from './tool-document.ts'

export type Verdict =
  | {
      readonly verified: true
      /** `reduced`: equal but for top-level keywords that only narrow or annotate. */
      readonly match: 'full' | 'reduced' | 'provider'
      readonly reviewId: string | undefined
      readonly hash: string
    }
  | {
      readonly verified: false
      readonly hash: string
      readonly reason:
        | 'never_reviewed'
        | 'definition_differs'
        | 'provider_differs'
        | 'schema_has_unreviewed_keywords'
        | 'signature_invalid'
        | 'key_revoked'
      /** The signed review it was compared with. */
      readonly reviewId: string | undefined
      /** A person's words for it. */
      readonly detail: string
    }

export interface ReviewedTools {
  /** `sha256:…` over the whole document. */
  digest(document: ToolDocument): string
  /** @param carried A signature that came with the tool, embedded or in `_meta`. */
  verdict(document: ToolDocument, carried?: { signature: string }): Promise<Verdict>
  /**
   * Asks for a new review of a tool that changed; while one of the same definition is open, that one.
   *
   * @returns Its id.
   */
  reopen(input: {
    readonly document: ToolDocument
    /** What was seen or signed before. */
    readonly before: ToolDocument | undefined
    readonly submittedBy: string
    readonly reason: string
  }): Promise<string>
}
