/**
 * Tools as servers commonly publish them: honest, but with free paths, addresses and statements. The rules have
 * something to say of many of them, and are meant to: an agent that holds such a tool can be talked into much.
 * There is no bar for these; the command shows what is said.
 */
import type { TokenObject } from '../../../../json/raw-number.ts'
import { corpusOf, type ServerTools } from '../entry.ts'

const string = (description: string): TokenObject => ({ type: 'string', description })
const strings = (description: string): TokenObject => ({
  type: 'array',
  items: { type: 'string' },
  description,
})
const plain = (type: string, description: string, standard?: number | boolean): TokenObject => ({
  type,
  description,
  ...(standard !== undefined && { default: standard }),
})

function loose(properties: TokenObject, ...required: readonly string[]): TokenObject {
  return { type: 'object', properties, required }
}

const SERVERS: readonly ServerTools[] = [
  {
    family: 'filesystem',
    provider: 'files.example.com',
    tools: {
      read_file: {
        description:
          'Reads the complete contents of a file as text. Only works within allowed directories.',
        schema: loose(
          { path: { type: 'string' }, head: { type: 'number' }, tail: { type: 'number' } },
          'path',
        ),
      },
      write_file: {
        description: 'Creates a new file or overwrites an existing one. Use with care.',
        schema: loose({ path: { type: 'string' }, content: { type: 'string' } }, 'path', 'content'),
      },
      move_file: {
        description: 'Moves or renames files and directories.',
        schema: loose(
          { source: { type: 'string' }, destination: { type: 'string' } },
          'source',
          'destination',
        ),
      },
      search_files: {
        description: 'Searches recursively for files that match a pattern.',
        schema: loose(
          {
            path: { type: 'string' },
            pattern: { type: 'string' },
            excludePatterns: strings('Left out'),
          },
          'path',
          'pattern',
        ),
      },
      list_directory: {
        description: 'Lists files and directories at a path.',
        schema: loose({ path: { type: 'string' } }, 'path'),
      },
    },
  },
  {
    family: 'fetch',
    provider: 'fetch.example.com',
    tools: {
      fetch: {
        description:
          'Fetches a URL from the internet and optionally extracts its contents as markdown.',
        schema: loose(
          {
            url: { type: 'string', format: 'uri', description: 'URL to fetch' },
            max_length: {
              type: 'integer',
              default: 5000,
              exclusiveMaximum: 1_000_000,
              exclusiveMinimum: 0,
            },
            start_index: plain('integer', 'Where to go on', 0),
            raw: plain('boolean', 'Return the HTML', false),
          },
          'url',
        ),
      },
    },
  },
  {
    family: 'databases',
    provider: 'database-tools.example.com',
    tools: {
      query: {
        description: 'Runs a read-only SQL query.',
        schema: loose({ sql: { type: 'string' } }, 'sql'),
      },
      write_query: {
        description: 'Executes an INSERT, UPDATE or DELETE query on the SQLite database.',
        schema: loose({ query: string('SQL to execute') }, 'query'),
      },
      describe_table: {
        description: 'Shows the schema of a table.',
        schema: loose({ table_name: string('Name of the table') }, 'table_name'),
      },
      set: {
        description: 'Sets a Redis key-value pair with optional expiration.',
        schema: loose(
          {
            key: string('Redis key'),
            value: string('Value'),
            expireSeconds: plain('number', 'Seconds'),
          },
          'key',
          'value',
        ),
      },
      aggregate: {
        description: 'Runs an aggregation pipeline against a collection.',
        schema: loose(
          {
            collection: string('Collection'),
            pipeline: { type: 'array', items: { type: 'object' } },
          },
          'collection',
          'pipeline',
        ),
      },
    },
  },
  {
    family: 'browser',
    provider: 'browser.example.com',
    tools: {
      puppeteer_navigate: {
        description: 'Navigates to a URL.',
        schema: loose({ url: { type: 'string' } }, 'url'),
      },
      puppeteer_evaluate: {
        description: 'Executes JavaScript in the browser console.',
        schema: loose({ script: string('JavaScript code to execute') }, 'script'),
      },
      puppeteer_fill: {
        description: 'Fills out an input field.',
        schema: loose(
          { selector: string('CSS selector'), value: string('Value to fill') },
          'selector',
          'value',
        ),
      },
      browser_file_upload: {
        description: 'Uploads one or several files.',
        schema: loose({ paths: strings('The absolute paths of the files to upload') }, 'paths'),
      },
    },
  },
  {
    family: 'github',
    provider: 'github-tools.example.com',
    tools: {
      get_file_contents: {
        description: 'Gets the contents of a file or directory from a GitHub repository.',
        schema: loose(
          {
            owner: string('Owner'),
            repo: string('Repository'),
            path: string('Path to the file or directory'),
          },
          'owner',
          'repo',
          'path',
        ),
      },
      create_issue: {
        description: 'Creates a new issue in a GitHub repository.',
        schema: loose(
          {
            owner: string('Owner'),
            repo: string('Repository'),
            title: string('Title'),
            body: string('Body'),
          },
          'owner',
          'repo',
          'title',
        ),
      },
      search_code: {
        description: 'Searches for code across GitHub repositories.',
        schema: loose(
          {
            q: string('Query'),
            page: plain('number', 'Page'),
            per_page: plain('number', 'Per page'),
          },
          'q',
        ),
      },
      push_files: {
        description: 'Pushes multiple files to a GitHub repository in a single commit.',
        schema: loose(
          {
            branch: string('Branch to push to'),
            files: {
              type: 'array',
              items: loose(
                { path: { type: 'string' }, content: { type: 'string' } },
                'path',
                'content',
              ),
            },
            message: string('Commit message'),
          },
          'branch',
          'files',
          'message',
        ),
      },
    },
  },
  {
    family: 'chat-and-mail',
    provider: 'chat.example.com',
    tools: {
      slack_post_message: {
        description: 'Posts a new message to a Slack channel.',
        schema: loose(
          { channel_id: string('The channel'), text: string('The message') },
          'channel_id',
          'text',
        ),
      },
      slack_get_user_profile: {
        description: 'Gets detailed profile information for a user.',
        schema: loose({ user_id: string('The user') }, 'user_id'),
      },
      send_email: {
        description: 'Sends an email with optional attachments.',
        schema: loose(
          {
            to: strings('Recipients'),
            subject: string('Subject'),
            body: string('Text'),
            attachments: strings('Paths of files to attach'),
          },
          'to',
          'subject',
          'body',
        ),
      },
      create_webhook: {
        description: 'Registers a webhook that is called on every change.',
        schema: loose(
          { callback_url: string('Where to call'), events: strings('Events') },
          'callback_url',
        ),
      },
    },
  },
  {
    family: 'shell-and-containers',
    provider: 'shell.example.com',
    tools: {
      run_command: {
        description: 'Runs a terminal command and returns its output.',
        schema: loose(
          { command: string('Command line'), timeout_ms: plain('number', 'Timeout') },
          'command',
        ),
      },
      run_python: {
        description: 'Runs Python code in a sandbox.',
        schema: loose({ code: string('Python code') }, 'code'),
      },
      run_container: {
        description: 'Runs an image in a new Docker container.',
        schema: loose(
          {
            image: string('Image'),
            command: string('Command'),
            privileged: plain('boolean', 'Extended privileges', false),
            detach: plain('boolean', 'Run in the background', true),
          },
          'image',
        ),
      },
      kubectl_apply: {
        description: 'Applies a Kubernetes YAML manifest.',
        schema: loose({
          manifest: string('YAML'),
          namespace: string('Namespace'),
          force: plain('boolean', 'Force'),
        }),
      },
      kubectl_delete: {
        description: 'Deletes a Kubernetes resource.',
        schema: loose(
          {
            resourceType: string('Kind'),
            name: string('Name'),
            gracePeriodSeconds: plain('number', 'Seconds'),
          },
          'resourceType',
          'name',
        ),
      },
    },
  },
  {
    family: 'services',
    provider: 'services.example.com',
    tools: {
      brave_web_search: {
        description:
          'Performs a web search. Use this for broad information gathering and recent events.',
        schema: loose(
          { query: string('Search query'), count: plain('number', 'Results', 10) },
          'query',
        ),
      },
      maps_geocode: {
        description: 'Converts an address into geographic coordinates.',
        schema: loose({ address: string('The address to geocode') }, 'address'),
      },
      create_customer: {
        description: 'Creates a customer in the payment system.',
        schema: loose(
          { name: string('Name of the customer'), email: string('E-mail of the customer') },
          'name',
        ),
      },
      notion_query_database: {
        description: 'Queries a database.',
        schema: loose(
          { database_id: string('Database'), filter: { type: 'object' }, sorts: { type: 'array' } },
          'database_id',
        ),
      },
      jira_search: {
        description: 'Searches issues with JQL.',
        schema: loose({ jql: string('JQL query'), limit: plain('integer', 'Results', 10) }, 'jql'),
      },
      linear_update_issue: {
        description: 'Updates an existing issue.',
        schema: loose(
          { id: string('Issue'), title: string('Title'), priority: plain('number', '0 to 4') },
          'id',
        ),
      },
      get_sentry_issue: {
        description: 'Retrieves an issue by its id or URL.',
        schema: loose({ issue_id_or_url: string('Id or URL of the issue') }, 'issue_id_or_url'),
      },
      create_entities: {
        description: 'Creates new entities in the knowledge graph.',
        schema: loose(
          {
            entities: {
              type: 'array',
              items: loose(
                {
                  name: string('Name'),
                  entityType: string('Type'),
                  observations: strings('Observations'),
                },
                'name',
                'entityType',
                'observations',
              ),
            },
          },
          'entities',
        ),
      },
    },
  },
  {
    family: 'carelessly-written',
    provider: 'odds.example.com',
    tools: {
      'Get Weather!': {
        description: 'Returns the weather of a town.',
        schema: loose({ town: string('Town') }, 'town'),
      },
      import_rows: {
        description: 'Imports rows from a table.',
        schema: loose({
          table: string('Table'),
          skip_duplicates: plain('boolean', 'Leave out rows that are there', true),
        }),
      },
      find_customer: {
        description: 'Finds a customer by number.',
        schema: loose({ number: { type: 'string', pattern: '(?P<area>[0-9]+)-[0-9]+' } }, 'number'),
      },
      save_address: {
        description: 'Saves an address.',
        schema: loose({ address: { $ref: '#/definitions/Address' } }, 'address', 'customer'),
      },
    },
  },
]

export const PUBLISHED = corpusOf(SERVERS)
