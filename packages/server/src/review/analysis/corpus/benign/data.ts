/** Databases, caches, knowledge graphs and arithmetic. */
import type { ServerTools } from '../entry.ts'
import { choice, date, flag, input, list, number, shaped, text, whole, words } from '../schema.ts'

const table = choice('Which table.', 'orders', 'customers', 'products')
const identifier = (description: string) => shaped(description, '^[a-z][a-z0-9_]{0,62}$', 63)
const cacheKey = shaped(
  'Key, below the prefix of this server.',
  '^[a-z0-9]{1,40}(?::[a-z0-9-]{1,60}){0,5}$',
  360,
)
const entity = (description: string) =>
  shaped(description, '^[A-Za-z0-9][A-Za-z0-9 _-]{0,99}$', 100)

export const DATA: readonly ServerTools[] = [
  {
    family: 'calculator',
    provider: 'calculator.example.com',
    tools: {
      calculator: {
        description: 'Does basic arithmetic with two numbers.',
        schema: {
          type: 'object',
          properties: {
            operation: { type: 'string', enum: ['add', 'subtract', 'multiply', 'divide'] },
            a: { type: 'number' },
            b: { type: 'number' },
          },
          required: ['operation', 'a', 'b'],
        },
      },
      convert_unit: {
        description: 'Converts a length, a weight or a temperature.',
        schema: input({
          value: number('Amount.', -1e12, 1e12),
          from: choice('Unit it is in.', 'm', 'ft', 'kg', 'lb', 'celsius', 'fahrenheit'),
          to: choice('Unit it shall be in.', 'm', 'ft', 'kg', 'lb', 'celsius', 'fahrenheit'),
        }),
      },
    },
  },
  {
    family: 'postgres',
    provider: 'postgres-tools.example.com',
    tools: {
      list_tables: {
        description: 'Lists the tables of the database with their number of rows.',
        schema: input({}, { schema: choice('Schema of the database.', 'public', 'reporting') }),
      },
      describe_table: {
        description: 'Shows the columns of a table with their types, keys and indexes.',
        schema: input({ table }),
      },
      select_rows: {
        description:
          'Returns rows of a table where a column has a value. Reads only; the connection cannot write.',
        schema: input(
          {
            table,
            column: identifier('Column to compare.'),
            equals: text('Value to compare with.', 500),
          },
          {
            order_by: identifier('Column to sort by.'),
            limit: whole('At most this many rows.', 1, 500),
          },
        ),
      },
      explain_saved_query: {
        description: 'Shows the plan of one of the saved queries.',
        schema: input({
          saved: choice('Which one.', 'daily_revenue', 'open_orders', 'slow_movers'),
        }),
      },
    },
  },
  {
    family: 'sqlite',
    provider: 'sqlite-tools.example.com',
    tools: {
      append_insight: {
        description: 'Adds a finding to the memo of this analysis, which is kept as a resource.',
        schema: input({ insight: text('What was found, in a sentence.', 1_000) }),
      },
      count_rows: {
        description: 'Counts the rows of a table, grouped by one of its columns if asked.',
        schema: input({ table }, { group_by: identifier('Column to group by.') }),
      },
      insert_row: {
        description: 'Adds one row to the table of measurements.',
        schema: input({
          sensor: identifier('Sensor.'),
          value: number('Measured value.', -1e9, 1e9),
          day: date('On which day.'),
        }),
      },
    },
  },
  {
    family: 'redis',
    provider: 'cache-tools.example.com',
    tools: {
      get_value: {
        description: 'Returns the value of a key of the cache, or nothing if there is none.',
        schema: input({ name: cacheKey }),
      },
      set_value: {
        description: 'Stores a value in the cache. It is dropped when its time is over.',
        schema: input(
          { name: cacheKey, value: text('What to store.', 10_000) },
          { ttl_seconds: whole('How long it is kept.', 1, 86_400) },
        ),
      },
      list_keys: {
        description: 'Lists keys of the cache that begin with the given text.',
        schema: input({ prefix: cacheKey }, { count: whole('At most this many.', 1, 1_000) }),
      },
    },
  },
  {
    family: 'memory',
    provider: 'graph.example.com',
    tools: {
      create_entities: {
        description:
          'Adds entities to the knowledge graph. Those that exist already are left as they are.',
        schema: input({
          entities: list(
            'What to add.',
            input({
              name: entity('Name of the entity.'),
              entity_type: entity('What kind of thing it is.'),
              observations: list('What is known of it.', text('One fact.', 500), 50),
            }),
            50,
          ),
        }),
      },
      create_relations: {
        description:
          'Connects entities of the knowledge graph. Relations are written in the active voice.',
        schema: input({
          relations: list(
            'Connections to add.',
            input({
              from: entity('Entity where it starts.'),
              to: entity('Entity where it ends.'),
              relation_type: entity('What it says.'),
            }),
            50,
          ),
        }),
      },
      add_observations: {
        description: 'Adds facts to entities that exist.',
        schema: input({
          entity_name: entity('Which one.'),
          contents: list('Facts.', text('One fact.', 500), 50),
        }),
      },
      search_nodes: {
        description:
          'Finds entities of the knowledge graph by words in their names, kinds and facts.',
        schema: input({ words: words('What to look for.') }),
      },
      open_nodes: {
        description: 'Returns entities with their relations to each other.',
        schema: input({ names: list('Which ones.', entity('Name of an entity.'), 50) }),
      },
      read_graph: { description: 'Returns the whole knowledge graph.', schema: input({}) },
    },
  },
  {
    family: 'thinking',
    provider: 'thinking.example.com',
    tools: {
      sequential_thinking: {
        description:
          'Helps to solve a problem step by step. Steps may revise earlier ones or branch off, and the number of steps may change on the way.',
        schema: input(
          {
            thought: text('The current step.', 5_000),
            thought_number: whole('Number of this step.', 1, 200),
            total_thoughts: whole('How many steps it will take, as far as known now.', 1, 200),
            next_thought_needed: { type: 'boolean', description: 'Whether another step follows.' },
          },
          {
            is_revision: flag('Whether an earlier step is revised.'),
            revises_thought: whole('Which one.', 1, 200),
          },
        ),
      },
    },
  },
]
