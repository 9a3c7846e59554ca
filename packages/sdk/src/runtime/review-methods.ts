/** Review and signing of tools. */
import * as shapes from '@vestry/contract/runtime'
import type { CallOptions, Calls } from './calls.ts'
import { KnowledgeMethods } from './knowledge-methods.ts'
import { id } from './path.ts'
import type * as requests from './requests.ts'
import { listOf } from './shape.ts'
import { lookUntil, type WaitOptions } from './waiting.ts'

export type WaitForReviewOptions = WaitOptions

const DECIDED: ReadonlySet<string> = new Set(['approved', 'rejected', 'signed'])

export class ReviewMethods extends KnowledgeMethods {
  readonly #calls: Calls

  constructor(calls: Calls) {
    super(calls)
    this.#calls = calls
  }

  // Tool review

  async submitToolForReview(
    request: requests.ReviewSessionCreate,
    options?: CallOptions,
  ): Promise<shapes.ReviewSessionResponse> {
    return this.#calls.post('tool-review/sessions', request, shapes.ReviewSessionResponse, options)
  }

  async getReviewSession(reviewId: string, options?: CallOptions): Promise<shapes.ReviewSession> {
    return this.#calls.get(`tool-review/sessions/${id(reviewId)}`, shapes.ReviewSession, options)
  }

  /** Newest first. */
  async listReviewSessions(
    { page = 1, limit = 20, status, author }: requests.ListReviewsQuery = {},
    options?: CallOptions,
  ): Promise<shapes.ReviewSessionList> {
    const query = { page, limit, status: status || undefined, author: author || undefined }
    return this.#calls.get('tool-review/sessions', shapes.ReviewSessionList, options, query)
  }

  /** `NotFoundError` until the analysis is complete. */
  async getAnalysisResults(
    analysisId: string,
    options?: CallOptions,
  ): Promise<shapes.AnalysisResults> {
    return this.#calls.get(
      `tool-review/analysis/${id(analysisId)}`,
      shapes.AnalysisResults,
      options,
    )
  }

  /**
   * Looks at once, and then every `intervalSeconds`, until the review is approved, rejected or signed.
   *
   * @throws TimeoutError when it is none of these within `timeoutSeconds`.
   */
  async waitForReviewCompletion(
    reviewId: string,
    options: WaitForReviewOptions = {},
  ): Promise<shapes.ReviewSession> {
    return lookUntil(
      {
        look: (given) => this.getReviewSession(reviewId, given),
        isDone: ({ status }) => DECIDED.has(status),
        late: `Review ${reviewId} was not decided`,
      },
      options,
    )
  }

  async submitHumanReviewDecision(
    reviewId: string,
    decision: requests.HumanReviewDecision,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `tool-review/sessions/${id(reviewId)}/decisions`
    return this.#calls.post(path, decision, shapes.AnyObject, options)
  }

  /** Says who looks at it, so that nobody else begins. */
  async claimReview(
    reviewId: string,
    reviewerId: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `tool-review/sessions/${id(reviewId)}/claim`
    return this.#calls.post(path, { reviewer_id: reviewerId }, shapes.AnyObject, options)
  }

  async reanalyzeTool(reviewId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `tool-review/sessions/${id(reviewId)}/reanalyze`
    return this.#calls.post(path, undefined, shapes.AnyObject, options)
  }

  /** What waits for a person, the most urgent first. */
  async getReviewQueue(options?: CallOptions): Promise<shapes.ReviewQueue> {
    return this.#calls.get('tool-review/queue', shapes.ReviewQueue, options)
  }

  async getReviewStats(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('tool-review/stats', shapes.AnyObject, options)
  }

  /** Every step of a review, hash-chained. */
  async getReviewAudit(reviewId: string, options?: CallOptions): Promise<shapes.ReviewAudit> {
    return this.#calls.get(
      `tool-review/sessions/${id(reviewId)}/audit`,
      shapes.ReviewAudit,
      options,
    )
  }

  async signApprovedTool(
    request: requests.SigningRequest,
    options?: CallOptions,
  ): Promise<shapes.SigningResponse> {
    return this.#calls.repeatable('tool-review/sign', request, shapes.SigningResponse, options)
  }

  async getSignedTool(reviewId: string, options?: CallOptions): Promise<shapes.SignedTool> {
    return this.#calls.get(`tool-review/signed/${id(reviewId)}`, shapes.SignedTool, options)
  }

  /** An invalid signature is an answer with `valid: false`, not an error. */
  async verifyTool(
    request: requests.VerifyToolRequest,
    options?: CallOptions,
  ): Promise<shapes.VerificationResult> {
    return this.#calls.repeatable('tool-review/verify', request, shapes.VerificationResult, options)
  }

  async listSigningKeys(options?: CallOptions): Promise<shapes.SigningKey[]> {
    return this.#calls.get('signing-keys', listOf(shapes.SigningKey), options)
  }

  async createSigningKey(
    request: requests.SigningKeyRequest,
    options?: CallOptions,
  ): Promise<shapes.SigningKey> {
    return this.#calls.post('signing-keys', request, shapes.SigningKey, options)
  }

  /** What it signed is valid no longer. */
  async revokeSigningKey(
    keyId: string,
    reason: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.post(
      `signing-keys/${id(keyId)}/revoke`,
      { reason },
      shapes.AnyObject,
      options,
    )
  }
}
