/**
 * The error that crosses module and process borders. Branch on `code`, never on text.
 * Imports nothing, so that every client door can load it without cost.
 */

/**
 * Each failure we name: its HTTP status and its short, stable message (what `message` says on the
 * vault wire). Append only: codes are wire format.
 */
export const ERRORS = {
  AUTH_FAILED: { status: 401, message: 'Authentication failed' },
  ACCESS_DENIED: { status: 403, message: 'Access denied by policy' },
  CREDENTIAL_NOT_FOUND: { status: 404, message: 'Credential not found' },
  VAULT_LOCKED: { status: 503, message: 'Vault is locked' },
  LEASE_EXPIRED: { status: 410, message: 'Lease has expired' },
  RATE_LIMITED: { status: 429, message: 'Too many requests' },
  SESSION_EXPIRED: { status: 401, message: 'Session is not active' },
  LEASE_EXHAUSTED: { status: 410, message: 'Lease use limit reached' },
  SSRF_BLOCKED: { status: 403, message: 'Target address is not allowed' },
  INVALID_REQUEST: { status: 400, message: 'Malformed request' },
  METHOD_NOT_FOUND: { status: 404, message: 'Unknown method' },
  INVALID_PARAMS: { status: 400, message: 'Invalid parameters' },
  REQUEST_TOO_LARGE: { status: 413, message: 'Request is too large' },
  RESPONSE_TOO_LARGE: { status: 502, message: 'Response is too large' },
  LEASE_NOT_FOUND: { status: 404, message: 'Lease not found' },
  OPERATION_NOT_SUPPORTED: { status: 400, message: 'Operation is not supported' },
  UNUSABLE_CREDENTIAL: { status: 422, message: 'Credential cannot be used for this operation' },
  DECRYPT_FAILED: { status: 422, message: 'Decryption failed' },
  REDIRECT_BLOCKED: { status: 403, message: 'Redirect is not allowed' },
  UPSTREAM_ERROR: { status: 502, message: 'Upstream request failed' },
  UPSTREAM_TIMEOUT: { status: 504, message: 'Upstream request timed out' },
  BACKEND_UNAVAILABLE: { status: 503, message: 'Secret backend is unavailable' },
  APPROVAL_REQUIRED: { status: 403, message: 'Operator approval is required' },
  WRAP_INVALID: { status: 410, message: 'Wrapping token is not valid' },
  CONFLICT: { status: 409, message: 'Resource already exists or has changed' },
  NOT_INITIALIZED: { status: 503, message: 'Vault is not initialized' },
  UNSEAL_FAILED: { status: 401, message: 'Unseal key was not accepted' },
  NOT_FOUND: { status: 404, message: 'Object not found' },
  AUDIT_UNAVAILABLE: { status: 503, message: 'Audit log is not writable' },
  TIMEOUT: { status: 504, message: 'Request timed out' },
  SHUTTING_DOWN: { status: 503, message: 'Daemon is shutting down' },
  INTERNAL_ERROR: { status: 500, message: 'Internal error' },
  // Ours, never sent on the vault's agent wire.
  POLICY_INVALID: { status: 400, message: 'Policy is not valid' },
  CONFIG_INVALID: { status: 400, message: 'Configuration is not valid' },
  USAGE: { status: 400, message: 'Wrong usage' },
  STORE_CORRUPT: { status: 500, message: 'Stored data was altered' },
  STORE_ROLLED_BACK: { status: 500, message: 'Store is older than the audit log' },
  STORE_TOO_NEW: { status: 500, message: 'Store was written by a newer version' },
  STORE_UNAVAILABLE: { status: 503, message: 'Store is not reachable' },
  AUDIT_BROKEN: { status: 500, message: 'Audit log was altered' },
  AUDIT_TRUNCATED: { status: 500, message: 'Audit log is shorter than recorded' },
  SEAL_BROKEN: { status: 500, message: 'Sealed data did not open' },
  INSTANCE_RUNNING: { status: 409, message: 'Another daemon uses this home' },
  DAEMON_UNREACHABLE: { status: 503, message: 'Daemon is not reachable' },
  CONNECTION_CLOSED: { status: 503, message: 'Connection closed' },
  // The gateway's own.
  BAD_REQUEST: { status: 400, message: 'Request body is not valid' },
  MISSING_FIELDS: { status: 400, message: 'Missing required fields' },
  VALIDATION_ERROR: { status: 400, message: 'Validation error' },
  INVALID_FIELD: { status: 400, message: 'A field is not valid' },
  INVALID_EXPIRY: { status: 400, message: 'Expiry is not valid' },
  AGENT_NOT_FOUND: { status: 404, message: 'Agent not found' },
  AGENT_INACTIVE: { status: 403, message: 'Agent is not active' },
  AGENT_PROOF_REQUIRED: { status: 401, message: 'A signed request is required' },
  AGENT_PROOF_INVALID: { status: 401, message: 'Request signature is not valid' },
  TOKEN_MALFORMED: { status: 401, message: 'Token is malformed' },
  TOKEN_SIGNATURE: { status: 401, message: 'Token signature is not valid' },
  TOKEN_EXPIRED: { status: 401, message: 'Token expired' },
  TOKEN_TOO_OLD: { status: 401, message: 'Token was issued more than 24 hours ago' },
  TOKEN_REVOKED: { status: 403, message: 'Token has been revoked' },
  TOKEN_UNREGISTERED: { status: 401, message: 'Token not found in registry' },
  TOKEN_UNKNOWN: { status: 403, message: 'Token not found in registry' },
  PROOF_REQUIRED: { status: 400, message: 'proof_payload is required with token_id' },
  PROOF_MISMATCH: { status: 403, message: 'Token proof verification failed' },
  QUOTA_EXCEEDED: { status: 429, message: 'Request quota exceeded' },
  UNKNOWN_TOOL: { status: 400, message: 'Unknown tool or action' },
  TOOL_NOT_CONFIGURED: { status: 503, message: 'Tool is not configured' },
  CIRCUIT_OPEN: { status: 503, message: 'Tool is temporarily unavailable' },
  UPSTREAM_FAILED: { status: 502, message: 'Upstream service error' },
  UPSTREAM_AUTH: { status: 502, message: 'Upstream service refused our credential' },
  UPSTREAM_RATE_LIMITED: { status: 429, message: 'Upstream service is throttling' },
  UPSTREAM_REJECTED: { status: 422, message: 'Upstream service rejected the request' },
  IDEMPOTENCY_CONFLICT: { status: 409, message: 'Idempotency key was used for another request' },
  OUTCOME_UNKNOWN: { status: 409, message: 'Interrupted, outcome unknown' },
  JOB_NOT_FOUND: { status: 404, message: 'Job not found' },
  CANCELLED: { status: 409, message: 'Cancelled before it ran' },
  QUEUE_FULL: { status: 503, message: 'Too many jobs are waiting' },
  DEADLINE_EXCEEDED: { status: 504, message: 'No answer within the deadline' },
  // Runs, their tokens, and the LLM gateway.
  IDENTITY_MISSING: { status: 401, message: 'An identity token is required' },
  IDENTITY_INVALID: { status: 401, message: 'Identity token is not valid' },
  IDENTITY_EXPIRED: { status: 401, message: 'Identity token has expired' },
  TXN_MISSING: { status: 401, message: 'A transaction token is required' },
  TXN_INVALID: { status: 401, message: 'Transaction token is not valid' },
  TXN_EXPIRED: { status: 401, message: 'Transaction token has expired' },
  IDENTITY_TXN_MISMATCH: {
    status: 403,
    message: 'Identity and transaction token do not belong together',
  },
  RUN_CLOSED: { status: 403, message: 'Run is closed' },
  SCOPE_NOT_ALLOWED: { status: 403, message: 'The run has no scope for this' },
  PROVIDER_NOT_ALLOWED: { status: 403, message: 'Provider is not permitted for this run' },
  CATEGORY_NOT_ALLOWED: { status: 403, message: 'Model category is not permitted here' },
  MODEL_NOT_ALLOWED: { status: 403, message: 'Model is not permitted for this run' },
  DLP_BLOCKED: { status: 403, message: 'The request holds what must not leave' },
  BUDGET_EXHAUSTED: { status: 403, message: 'Budget is exhausted' },
  PROVIDER_KEY_MISSING: { status: 403, message: 'There is no key for this provider' },
  INVALID_JSON: { status: 400, message: 'Body is not a JSON object' },
  UNSUPPORTED_PARAMETER: { status: 400, message: 'Parameter is not supported' },
  UNSUPPORTED_OPERATION: { status: 400, message: 'Provider does not support this operation' },
  UNKNOWN_PROVIDER: { status: 400, message: 'Provider is not known' },
  CONTEXT_LENGTH_EXCEEDED: { status: 400, message: 'Too long for the model' },
  CONTENT_FILTER: { status: 400, message: 'Provider refused the content' },
  ROUTE_NOT_FOUND: { status: 404, message: 'There is no such route' },
  MODEL_NOT_FOUND: { status: 404, message: 'Provider does not know this model' },
  METHOD_NOT_ALLOWED: { status: 405, message: 'Method is not allowed here' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'Content type must be application/json' },
  HEADERS_TOO_LARGE: { status: 431, message: 'Request headers are too large' },
  PROVIDER_RATE_LIMITED: { status: 429, message: 'Provider is throttling' },
  PROVIDER_AUTH_FAILED: { status: 500, message: 'Provider refused our key' },
  PROVIDER_ERROR: { status: 502, message: 'Provider failed' },
  PROVIDER_OVERLOADED: { status: 503, message: 'Provider is overloaded' },
  GATEWAY_OVERLOADED: { status: 503, message: 'Gateway cannot take this now' },
  PROVIDER_TIMEOUT: { status: 504, message: 'Provider did not answer in time' },
  // The token service, in the words of OAuth.
  INVALID_CLIENT: { status: 401, message: 'Caller is not authenticated' },
  INVALID_GRANT: { status: 400, message: 'Subject token or run is not valid' },
  INVALID_SCOPE: { status: 400, message: 'Scope exceeds what was granted' },
  INVALID_TARGET: { status: 400, message: 'Audience is not ours' },
  UNSUPPORTED_GRANT_TYPE: { status: 400, message: 'Grant or token type is not supported' },
  // The runtime API: agents, review and signing, MCP servers, secrets.
  UNAUTHORIZED: { status: 401, message: 'Authentication failed - check your API key' },
  ADMIN_REQUIRED: { status: 403, message: 'This needs an administrator key' },
  UNSUPPORTED_VALUE: { status: 400, message: 'Value is not supported' },
  ALREADY_EXISTS: { status: 409, message: 'Already exists' },
  INVALID_STATE_TRANSITION: { status: 409, message: 'Not possible in this state' },
  SIGNATURE_CONFLICT: { status: 409, message: 'Already signed with another key' },
  SECRETS_NOT_CONFIGURED: { status: 409, message: 'No secret backend is configured' },
  PORT_IN_USE: { status: 409, message: 'Port is in use' },
  TOOL_NOT_VERIFIED: { status: 409, message: 'Tool is not what was reviewed' },
  BODY_TOO_LARGE: { status: 413, message: 'Body is too large' },
  REVIEW_NOT_FOUND: { status: 404, message: 'Review not found' },
  ANALYSIS_NOT_FOUND: { status: 404, message: 'Analysis not found' },
  NOT_SIGNED: { status: 404, message: 'Tool is not signed' },
  SIGNING_KEY_NOT_FOUND: { status: 404, message: 'Signing key not found' },
  SECRET_NOT_FOUND: { status: 404, message: 'Secret not found' },
  MCP_SERVER_NOT_FOUND: { status: 404, message: 'MCP server not found' },
  MCP_TOOL_NOT_FOUND: { status: 404, message: 'MCP tool not found' },
  HTTP_INPUT_NOT_FOUND: { status: 404, message: 'HTTP input not found' },
  ENDPOINT_NOT_FOUND: { status: 404, message: 'Endpoint not found' },
  KNOWLEDGE_NOT_FOUND: { status: 404, message: 'Knowledge item not found' },
  WORKFLOW_NOT_FOUND: { status: 404, message: 'Workflow not found' },
  DEPLOYMENT_NOT_FOUND: { status: 404, message: 'Deployment not found' },
  MEMORY_NOT_FOUND: { status: 404, message: 'Memory not found' },
  COLLECTION_NOT_FOUND: { status: 404, message: 'Collection not found' },
  SIGNING_FAILED: { status: 500, message: 'Signing failed' },
  ANALYSIS_FAILED: { status: 500, message: 'Analysis failed' },
  NOT_IMPLEMENTED: { status: 501, message: 'Not served by this version' },
  BACKEND_AUTH_FAILED: { status: 502, message: 'Secret backend refused our credentials' },
  BACKEND_ERROR: { status: 502, message: 'Secret backend failed' },
  BACKEND_TIMEOUT: { status: 504, message: 'Secret backend did not answer in time' },
  MCP_PROTOCOL_ERROR: { status: 502, message: 'MCP server failed' },
  MCP_NOT_CONNECTED: { status: 503, message: 'MCP server is not connected' },
  MCP_TIMEOUT: { status: 504, message: 'MCP server did not answer in time' },
  NOT_READY: { status: 503, message: 'Not ready' },
  ITERATION_LIMIT: { status: 502, message: 'The agent did not come to an end' },
  POLICY_DENIAL_LOOP: { status: 502, message: 'The agent kept asking for what it may not do' },
  CONVERSATION_TOO_LARGE: { status: 502, message: 'The conversation of the agent grew too large' },
  INTERRUPTED: { status: 503, message: 'Interrupted by a stop of the server' },
  MODEL_PROVIDER_NOT_CONFIGURED: { status: 503, message: 'No model provider is configured' },
  SCHEDULE_NOT_FOUND: { status: 404, message: 'Schedule not found' },
  DIMENSION_MISMATCH: { status: 400, message: 'Vector has another dimension' },
  WORKFLOW_INVALID: { status: 400, message: 'Workflow definition is not valid' },
  WORKFLOW_STEP_FAILED: { status: 400, message: 'Workflow step failed' },
  NO_WORKFLOW: { status: 409, message: 'No workflow is named' },
  DSL_INVALID: { status: 400, message: 'Program has errors' },
  DSL_RUNTIME_ERROR: { status: 400, message: 'Program failed while it ran' },
  DSL_LIMIT: { status: 400, message: 'Program took more than it may' },
  DSL_POLICY_DENIED: { status: 403, message: 'Denied by a policy of the program' },
  WIDER_PERMISSIONS: { status: 409, message: 'The new version may do more than the old one' },
  DEPLOYMENT_BLOCKED: { status: 409, message: 'Not ready for this environment' },
  SANDBOX_UNAVAILABLE: { status: 409, message: 'The sandbox is not available here' },
  DOCUMENT_INVALID: { status: 400, message: 'Document cannot be read' },
  EMBEDDER_UNAVAILABLE: { status: 503, message: 'Embedding is not available' },
  PATH_REFUSED: { status: 400, message: 'Path is outside the data directory' },
} as const satisfies Record<string, { status: number; message: string }>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorOptions {
  /** What the reader can do next. Logged and sent like the message: no secrets. */
  hint?: string
  /** Machine-readable extras, sent to the caller: no secrets, no server paths. */
  context?: Record<string, unknown>
  cause?: unknown
}

export class VestryError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly context: Record<string, unknown>

  /** @param message What exactly went wrong, for the caller's eyes; defaults to the code's own text. */
  constructor(code: ErrorCode, message: string = ERRORS[code].message, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.hint = options.hint
    this.context = options.context ?? {}
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/** Unnamed failures become INTERNAL_ERROR; their detail stays in our log, reachable as `cause`. */
export function asVestryError(error: unknown): VestryError {
  if (error instanceof VestryError) return error
  return new VestryError('INTERNAL_ERROR', undefined, { cause: error })
}
