/**
 * The one strict Cedar schema (`vestry.cedarschema`). A module and not a data file because the package
 * is built by `tsc` alone. Patterns are parent entities whose id is the pattern text; open data from
 * callers lives in tagged entities, never in records, so that it cannot name entities of its own.
 */

export const CEDAR_SCHEMA = `
// Who acts. A role is a group; a glob over names is a group too, and so are those whom the same
// merged gateway policies bind.
entity Role, AgentGlob, GatewaySpec;
// Both are named by their unique name; an agent's metadata are its tags.
entity Agent in [Role, AgentGlob, GatewaySpec] { id: String, role: String } tags String;
entity Operator in [Role] { id: String };

// What is acted on.
entity PathGlob, System;
entity Credential in [PathGlob] { path: String, "type"?: String, tags: Set<String> };
// Tool::"serpapi:search" in Tool::"serpapi"; of an MCP server, Tool::"mcp/notes:append" in Tool::"mcp/notes".
entity Tool in [Tool] {
  tool: String,
  action: String,
  digest: String,
  reviewed: Bool,
  // The words of a token's permissions that cover it.
  permissions: Set<String>,
  cost_micros: Long,
};
// Model::"openai:gpt-4o" in Model::"openai".
entity Model in [Model] { provider: String, model: String, ref: String };

// Workflow::"data-analysis-workflow".
entity Workflow { id: String };
// Knowledge that has one owner, one kind of source and the same labels. Shared knowledge has no owner.
entity Knowledge { owner?: Agent, source_type: String, labels: Set<String> };

// Where a request goes, and when it is.
entity HostGlob, Window;
entity Host in [HostGlob] { scheme: String, name: String, port: Long, path: String };
entity Clock in [Window];

// Open data of the caller: JSON pointer → text, JSON pointer → safe integer.
entity Args tags String;
entity Nums tags Long;

type Call = {
  now: datetime,
  clock: Clock,
  has_reason: Bool,
  holds: Set<String>,
  // Labels of everything that this transaction has read so far.
  taint: Set<String>,
  args: Args,
  nums: Nums,
  // What the presented proof (key, token) covers; absent when it is not limited.
  scope?: Set<String>,
  transport?: String,
  source_ip?: ipaddr,
  // The request that the action would send.
  host?: Host,
  credential_hosts?: String,
  method?: String,
  header_type?: String,
  header_name?: String,
  content_type?: String,
  request_bytes?: Long,
  redirect?: Bool,
  // Cryptographic operations.
  algorithm?: String,
  data_bytes?: Long,
  // Calls of tools.
  intent?: String,
  token_tools?: Set<String>,
  token_permissions?: Set<String>,
  // Lower-case domains of everyone a message would go to.
  recipients?: Set<String>,
  // Calls of models: the run, what it was registered for, and the category that was asked for.
  run?: String,
  run_models?: Set<String>,
  run_providers?: Set<String>,
  category?: String,
};

action "vault:*";
action "vault:use:*" in ["vault:*"];
// The operations that do not hand the secret to the caller.
action "vault:use" in ["vault:use:*"];

action "vault:list", "vault:retrieve", "vault:store", "vault:unwrap" in ["vault:*"]
  appliesTo { principal: [Agent], resource: [Credential], context: Call };
action "vault:use:http_header" in ["vault:use:*"]
  appliesTo { principal: [Agent], resource: [Credential], context: Call };
action "vault:use:http_request", "vault:use:sign", "vault:use:verify", "vault:use:encrypt",
    "vault:use:decrypt", "vault:use:rewrap", "vault:use:jwt", "vault:use:aws_sigv4" in ["vault:use"]
  appliesTo { principal: [Agent], resource: [Credential], context: Call };

action "tool:*";
action "tool:call" in ["tool:*"]
  appliesTo { principal: [Agent, Operator], resource: [Tool], context: Call };

action "mcp:*";
action "mcp:call" in ["mcp:*"]
  appliesTo { principal: [Agent, Operator], resource: [Tool], context: Call };

action "agent:*";
action "agent:run" in ["agent:*"]
  appliesTo { principal: [Agent, Operator], resource: [Agent], context: Call };

action "workflow:*";
action "workflow:run" in ["workflow:*"]
  appliesTo { principal: [Agent, Operator], resource: [Workflow], context: Call };

action "knowledge:*";
action "knowledge:search", "knowledge:write" in ["knowledge:*"]
  appliesTo { principal: [Agent, Operator], resource: [Knowledge], context: Call };

action "llm:*";
action "llm:chat", "llm:embed" in ["llm:*"]
  appliesTo { principal: [Agent], resource: [Model], context: Call };

action "admin:*";
action "admin:read", "admin:write", "admin:approve", "admin:seal" in ["admin:*"]
  appliesTo { principal: [Operator], resource: [System], context: Call };
`
