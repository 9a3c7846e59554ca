/**
 * The built-in policies in Cedar's JSON form, so that a start loads no WebAssembly. Made from
 * `builtin.cedar.ts` by Cedar itself; a test fails, and prints this file anew, when they differ.
 */
import type { StoredPolicy } from './cedar/policy-set.ts'

export const BUILTIN_POLICIES: readonly StoredPolicy[] = [
  {
    id: 'builtin:owner',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'owner',
          },
        },
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'admin:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'System',
      },
      conditions: [],
      annotations: {
        id: 'builtin:owner',
      },
    },
  },
  {
    id: 'builtin:admin',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'admin',
          },
        },
      },
      action: {
        op: 'in',
        entities: [
          {
            type: 'Action',
            id: 'admin:read',
          },
          {
            type: 'Action',
            id: 'admin:write',
          },
          {
            type: 'Action',
            id: 'admin:approve',
          },
        ],
      },
      resource: {
        op: 'is',
        entity_type: 'System',
      },
      conditions: [],
      annotations: {
        id: 'builtin:admin',
      },
    },
  },
  {
    id: 'builtin:auditor',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'auditor',
          },
        },
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'admin:read',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'System',
      },
      conditions: [],
      annotations: {
        id: 'builtin:auditor',
      },
    },
  },
  {
    id: 'builtin:approver',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'approver',
          },
        },
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'admin:approve',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'System',
      },
      conditions: [],
      annotations: {
        id: 'builtin:approver',
      },
    },
  },
  {
    id: 'builtin:credential-hosts',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:http_request',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'credential_hosts',
                },
              },
              right: {
                '==': {
                  left: {
                    '.': {
                      left: {
                        Var: 'context',
                      },
                      attr: 'credential_hosts',
                    },
                  },
                  right: {
                    Value: 'mismatch',
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'host',
        description: 'the credential lists the hosts it may be sent to, and this is none of them',
        id: 'builtin:credential-hosts',
        reason: 'host_not_allowed',
      },
    },
  },
  {
    id: 'builtin:owner-runs',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'owner',
          },
        },
      },
      action: {
        op: 'in',
        entities: [
          {
            type: 'Action',
            id: 'mcp:*',
          },
          {
            type: 'Action',
            id: 'agent:*',
          },
          {
            type: 'Action',
            id: 'workflow:*',
          },
          {
            type: 'Action',
            id: 'knowledge:*',
          },
        ],
      },
      resource: {
        op: 'All',
      },
      conditions: [],
      annotations: {
        id: 'builtin:owner-runs',
      },
    },
  },
  {
    id: 'builtin:owner-requests',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'owner',
          },
        },
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'tool:call',
        },
      },
      resource: {
        op: 'in',
        entity: {
          type: 'Tool',
          id: 'http',
        },
      },
      conditions: [],
      annotations: {
        id: 'builtin:owner-requests',
      },
    },
  },
  {
    id: 'builtin:admin-runs',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'admin',
          },
        },
      },
      action: {
        op: 'in',
        entities: [
          {
            type: 'Action',
            id: 'mcp:*',
          },
          {
            type: 'Action',
            id: 'agent:*',
          },
          {
            type: 'Action',
            id: 'workflow:*',
          },
          {
            type: 'Action',
            id: 'knowledge:*',
          },
        ],
      },
      resource: {
        op: 'All',
      },
      conditions: [],
      annotations: {
        id: 'builtin:admin-runs',
      },
    },
  },
  {
    id: 'builtin:admin-requests',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Operator',
        in: {
          entity: {
            type: 'Role',
            id: 'admin',
          },
        },
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'tool:call',
        },
      },
      resource: {
        op: 'in',
        entity: {
          type: 'Tool',
          id: 'http',
        },
      },
      conditions: [],
      annotations: {
        id: 'builtin:admin-requests',
      },
    },
  },
  {
    id: 'builtin:run-itself',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Agent',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'agent:run',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Agent',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '==': {
              left: {
                Var: 'principal',
              },
              right: {
                Var: 'resource',
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'itself',
        description: 'the key of an agent starts that agent',
        id: 'builtin:run-itself',
      },
    },
  },
  {
    id: 'builtin:own-knowledge',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Agent',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'knowledge:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Knowledge',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'resource',
                  },
                  attr: 'owner',
                },
              },
              right: {
                '==': {
                  left: {
                    '.': {
                      left: {
                        Var: 'resource',
                      },
                      attr: 'owner',
                    },
                  },
                  right: {
                    Var: 'principal',
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'own',
        id: 'builtin:own-knowledge',
      },
    },
  },
  {
    id: 'builtin:shared-knowledge',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Agent',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'knowledge:search',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Knowledge',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '!': {
              arg: {
                has: {
                  left: {
                    Var: 'resource',
                  },
                  attr: 'owner',
                },
              },
            },
          },
        },
        {
          kind: 'when',
          body: {
            isEmpty: {
              arg: {
                '.': {
                  left: {
                    Var: 'resource',
                  },
                  attr: 'labels',
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'shared,unlabelled',
        id: 'builtin:shared-knowledge',
      },
    },
  },
  {
    id: 'builtin:others-knowledge',
    json: {
      effect: 'forbid',
      principal: {
        op: 'is',
        entity_type: 'Agent',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'knowledge:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Knowledge',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'resource',
                  },
                  attr: 'owner',
                },
              },
              right: {
                '!=': {
                  left: {
                    '.': {
                      left: {
                        Var: 'resource',
                      },
                      attr: 'owner',
                    },
                  },
                  right: {
                    Var: 'principal',
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'others',
        description: 'it is the own knowledge of another agent',
        id: 'builtin:others-knowledge',
        reason: 'not_yours',
      },
    },
  },
  {
    id: 'builtin:token-tools',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: 'in',
        entities: [
          {
            type: 'Action',
            id: 'tool:call',
          },
          {
            type: 'Action',
            id: 'mcp:call',
          },
        ],
      },
      resource: {
        op: 'is',
        entity_type: 'Tool',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'token_tools',
                },
              },
              right: {
                '!': {
                  arg: {
                    '||': {
                      left: {
                        contains: {
                          left: {
                            '.': {
                              left: {
                                Var: 'context',
                              },
                              attr: 'token_tools',
                            },
                          },
                          right: {
                            '.': {
                              left: {
                                Var: 'resource',
                              },
                              attr: 'tool',
                            },
                          },
                        },
                      },
                      right: {
                        contains: {
                          left: {
                            '.': {
                              left: {
                                Var: 'context',
                              },
                              attr: 'token_tools',
                            },
                          },
                          right: {
                            Value: '*',
                          },
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'token-tools',
        description: 'the presented token does not cover this tool',
        id: 'builtin:token-tools',
        rank: '10',
        reason: 'TOKEN_SCOPE',
      },
    },
  },
  {
    id: 'builtin:token-permissions',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: 'in',
        entities: [
          {
            type: 'Action',
            id: 'tool:call',
          },
          {
            type: 'Action',
            id: 'mcp:call',
          },
        ],
      },
      resource: {
        op: 'is',
        entity_type: 'Tool',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'token_permissions',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'token_permissions',
                        },
                      },
                      right: {
                        '.': {
                          left: {
                            Var: 'resource',
                          },
                          attr: 'permissions',
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'token-permissions',
        description: 'the presented token does not carry a permission for this action',
        id: 'builtin:token-permissions',
        rank: '11',
        reason: 'TOKEN_PERMISSION',
      },
    },
  },
  {
    id: 'builtin:intent-conflict',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'tool:call',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            contains: {
              left: {
                '.': {
                  left: {
                    Var: 'context',
                  },
                  attr: 'holds',
                },
              },
              right: {
                Value: 'intent_conflict',
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'intent-conflict',
        description: 'the call names two intents that differ',
        id: 'builtin:intent-conflict',
        rank: '30',
        reason: 'INTENT_MISMATCH',
      },
    },
  },
  {
    id: 'builtin:domain-off-list',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'tool:call',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            contains: {
              left: {
                '.': {
                  left: {
                    Var: 'context',
                  },
                  attr: 'holds',
                },
              },
              right: {
                Value: 'domain_off_list',
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'domain-off-list',
        description: 'the tool may not fetch from this domain',
        id: 'builtin:domain-off-list',
        rank: '62',
        reason: 'DOMAIN_NOT_ALLOWED',
      },
    },
  },
  {
    id: 'builtin:run',
    json: {
      effect: 'permit',
      principal: {
        op: 'is',
        entity_type: 'Agent',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'llm:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Model',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'run',
                },
              },
              right: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'run_models',
                },
              },
            },
          },
        },
        {
          kind: 'when',
          body: {
            contains: {
              left: {
                '.': {
                  left: {
                    Var: 'context',
                  },
                  attr: 'run_models',
                },
              },
              right: {
                '.': {
                  left: {
                    Var: 'resource',
                  },
                  attr: 'ref',
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'run,models',
        id: 'builtin:run',
      },
    },
  },
  {
    id: 'builtin:run-scope',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'llm:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Model',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            contains: {
              left: {
                '.': {
                  left: {
                    Var: 'context',
                  },
                  attr: 'holds',
                },
              },
              right: {
                Value: 'scope_missing',
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'run-scope',
        description: 'the run has no scope for calling models',
        id: 'builtin:run-scope',
        rank: '10',
        reason: 'scope_not_allowed',
      },
    },
  },
  {
    id: 'builtin:run-providers',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'llm:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Model',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'run_providers',
                },
              },
              right: {
                '!': {
                  arg: {
                    contains: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'run_providers',
                        },
                      },
                      right: {
                        '.': {
                          left: {
                            Var: 'resource',
                          },
                          attr: 'provider',
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'run-providers',
        description: 'the run is not permitted to use this provider',
        id: 'builtin:run-providers',
        rank: '20',
        reason: 'provider_not_allowed',
      },
    },
  },
  {
    id: 'builtin:run-category',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'llm:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Model',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            contains: {
              left: {
                '.': {
                  left: {
                    Var: 'context',
                  },
                  attr: 'holds',
                },
              },
              right: {
                Value: 'category_unknown',
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'run-category',
        description: 'the category is not one that this route serves',
        id: 'builtin:run-category',
        rank: '30',
        reason: 'category_not_allowed',
      },
    },
  },
  {
    id: 'builtin:run-models',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: 'in',
        entity: {
          type: 'Action',
          id: 'llm:*',
        },
      },
      resource: {
        op: 'is',
        entity_type: 'Model',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '!': {
              arg: {
                '&&': {
                  left: {
                    has: {
                      left: {
                        Var: 'context',
                      },
                      attr: 'run_models',
                    },
                  },
                  right: {
                    contains: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'run_models',
                        },
                      },
                      right: {
                        '.': {
                          left: {
                            Var: 'resource',
                          },
                          attr: 'ref',
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'run-models',
        description: 'the run is not permitted to use this model for this category',
        id: 'builtin:run-models',
        rank: '40',
        reason: 'model_not_allowed',
      },
    },
  },
  {
    id: 'builtin:scope:vault:list',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:list',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:list',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:list',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:retrieve',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:retrieve',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:retrieve',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:retrieve',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:store',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:store',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:store',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:store',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:unwrap',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:unwrap',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:unwrap',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:unwrap',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:http_request',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:http_request',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:http_request',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:http_request',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:sign',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:sign',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:sign',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:sign',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:verify',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:verify',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:verify',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:verify',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:encrypt',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:encrypt',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:encrypt',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:encrypt',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:decrypt',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:decrypt',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:decrypt',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:decrypt',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:rewrap',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:rewrap',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:rewrap',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:rewrap',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:jwt',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:jwt',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:jwt',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:jwt',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:aws_sigv4',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:aws_sigv4',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:aws_sigv4',
                          },
                          {
                            Value: 'vault:use',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:aws_sigv4',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:vault:use:http_header',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'vault:use:http_header',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'vault:use:http_header',
                          },
                          {
                            Value: 'vault:use:*',
                          },
                          {
                            Value: 'vault:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:vault:use:http_header',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:tool:call',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'tool:call',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'tool:call',
                          },
                          {
                            Value: 'tool:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:tool:call',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:mcp:call',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'mcp:call',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'mcp:call',
                          },
                          {
                            Value: 'mcp:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:mcp:call',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:agent:run',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'agent:run',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'agent:run',
                          },
                          {
                            Value: 'agent:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:agent:run',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:workflow:run',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'workflow:run',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'workflow:run',
                          },
                          {
                            Value: 'workflow:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:workflow:run',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:knowledge:search',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'knowledge:search',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'knowledge:search',
                          },
                          {
                            Value: 'knowledge:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:knowledge:search',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:knowledge:write',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'knowledge:write',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'knowledge:write',
                          },
                          {
                            Value: 'knowledge:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:knowledge:write',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:llm:chat',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'llm:chat',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'llm:chat',
                          },
                          {
                            Value: 'llm:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:llm:chat',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:llm:embed',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'llm:embed',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'llm:embed',
                          },
                          {
                            Value: 'llm:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:llm:embed',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:admin:read',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'admin:read',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'admin:read',
                          },
                          {
                            Value: 'admin:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:admin:read',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:admin:write',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'admin:write',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'admin:write',
                          },
                          {
                            Value: 'admin:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:admin:write',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:admin:approve',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'admin:approve',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'admin:approve',
                          },
                          {
                            Value: 'admin:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:admin:approve',
        reason: 'outside_scope',
      },
    },
  },
  {
    id: 'builtin:scope:admin:seal',
    json: {
      effect: 'forbid',
      principal: {
        op: 'All',
      },
      action: {
        op: '==',
        entity: {
          type: 'Action',
          id: 'admin:seal',
        },
      },
      resource: {
        op: 'All',
      },
      conditions: [
        {
          kind: 'when',
          body: {
            '&&': {
              left: {
                has: {
                  left: {
                    Var: 'context',
                  },
                  attr: 'scope',
                },
              },
              right: {
                '!': {
                  arg: {
                    containsAny: {
                      left: {
                        '.': {
                          left: {
                            Var: 'context',
                          },
                          attr: 'scope',
                        },
                      },
                      right: {
                        Set: [
                          {
                            Value: 'admin:seal',
                          },
                          {
                            Value: 'admin:*',
                          },
                        ],
                      },
                    },
                  },
                },
              },
            },
          },
        },
      ],
      annotations: {
        clauses: 'scope',
        description: 'the presented key or token does not cover this action',
        id: 'builtin:scope:admin:seal',
        reason: 'outside_scope',
      },
    },
  },
]
