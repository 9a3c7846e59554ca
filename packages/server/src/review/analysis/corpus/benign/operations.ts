/** Clusters, containers, errors in production, payments, clouds and home. */
import type { ServerTools } from '../entry.ts'
import { choice, date, flag, input, list, number, shaped, text, whole } from '../schema.ts'

const namespace = shaped('Namespace.', '^[a-z0-9][a-z0-9-]{0,62}$', 63)
const resource = (description: string) => shaped(description, '^[a-z0-9][a-z0-9.-]{0,252}$', 253)
const container = shaped('Name or id of the container.', '^[a-z0-9][a-z0-9_.-]{0,62}$', 63)
const project = choice('Which project.', 'shop', 'backend', 'mobile')
const customer = shaped('Customer.', '^cus_[A-Za-z0-9]{8,32}$', 40)
const currency = choice('Currency.', 'eur', 'usd', 'gbp')
const region = choice('Region.', 'eu-central-1', 'eu-west-1', 'us-east-1')

export const OPERATIONS: readonly ServerTools[] = [
  {
    family: 'kubernetes',
    provider: 'cluster-tools.example.com',
    tools: {
      list_pods: {
        description: 'Lists the pods of a namespace with their state, restarts and age.',
        schema: input({ namespace }, { limit: whole('At most this many.', 1, 500) }),
      },
      get_pod_logs: {
        description: 'Returns the last lines that a pod wrote.',
        schema: input(
          { namespace, pod: resource('Pod.') },
          { tail_lines: whole('How many lines.', 1, 5_000) },
        ),
      },
      describe_resource: {
        description: 'Shows the details and latest events of a resource.',
        schema: input({
          namespace,
          kind: choice('Kind of resource.', 'pod', 'deployment', 'service', 'ingress', 'job'),
          name: resource('Its name.'),
        }),
      },
      scale_deployment: {
        description: 'Changes how many copies of a deployment run.',
        schema: input({
          namespace,
          deployment: resource('Deployment.'),
          replicas: whole('How many.', 0, 50),
        }),
      },
      rollout_status: {
        description: 'Tells how far the rollout of a deployment is.',
        schema: input({ namespace, deployment: resource('Deployment.') }),
      },
    },
  },
  {
    family: 'docker',
    provider: 'container-tools.example.com',
    tools: {
      list_containers: {
        description: 'Lists containers with their image, state and ports.',
        schema: input({}, { all: flag('Stopped ones too.') }),
      },
      container_logs: {
        description: 'Returns the last lines that a container wrote.',
        schema: input({ container }, { tail: whole('How many lines.', 1, 5_000) }),
      },
      restart_container: {
        description: 'Stops a container and starts it again.',
        schema: input(
          { container },
          { timeout: whole('Seconds to wait before it is ended.', 1, 300) },
        ),
      },
      container_stats: {
        description: 'Tells how much processor time and memory a container uses.',
        schema: input({ container }),
      },
    },
  },
  {
    family: 'sentry',
    provider: 'errors.example.com',
    tools: {
      list_errors: {
        description: 'Lists unresolved errors of a project, most frequent first.',
        schema: input(
          { project },
          {
            period: choice('Within which time.', '1h', '24h', '7d', '30d'),
            limit: whole('At most this many.', 1, 100),
          },
        ),
      },
      get_error: {
        description:
          'Returns an error with its stack trace, releases and the number of users it hit.',
        schema: input({ issue_id: shaped('Number of the error.', '^[0-9]{1,18}$', 18) }),
      },
      resolve_error: {
        description: 'Marks an error as resolved, now or in the next release.',
        schema: input({
          issue_id: shaped('Number of the error.', '^[0-9]{1,18}$', 18),
          when: choice('When.', 'now', 'next_release'),
        }),
      },
      assign_error: {
        description: 'Assigns an error to a team.',
        schema: input({
          issue_id: shaped('Number of the error.', '^[0-9]{1,18}$', 18),
          team: choice('Which team.', 'web', 'payments', 'mobile'),
        }),
      },
    },
  },
  {
    family: 'payments',
    provider: 'payments.example.com',
    tools: {
      list_invoices: {
        description: 'Lists the invoices of a customer, newest first.',
        schema: input(
          { customer },
          {
            status: choice('Which ones.', 'draft', 'open', 'paid', 'void'),
            limit: whole('At most this many.', 1, 100),
          },
        ),
      },
      create_price: {
        description: 'Adds a price to a product of the catalogue.',
        schema: input({
          product: shaped('Product.', '^prod_[A-Za-z0-9]{8,32}$', 40),
          unit_amount: whole('In the smallest unit of the currency.', 0, 99_999_999),
          currency,
        }),
      },
      create_payment_link: {
        description: 'Makes a link by which a customer pays for one price.',
        schema: input({
          price: shaped('Price.', '^price_[A-Za-z0-9]{8,32}$', 40),
          quantity: whole('How many.', 1, 1_000),
        }),
      },
      retrieve_balance: {
        description: 'Tells the balance of the account, by currency.',
        schema: input({}),
      },
      create_refund: {
        description: 'Refunds a payment in full or in part.',
        schema: input(
          { payment: shaped('Payment.', '^pi_[A-Za-z0-9]{8,32}$', 40) },
          { amount: whole('In the smallest unit; all of it by default.', 1, 99_999_999) },
        ),
      },
    },
  },
  {
    family: 'cloud',
    provider: 'cloud-tools.example.com',
    tools: {
      get_cost: {
        description: 'Tells what was spent between two days, grouped by service.',
        schema: input({ from: date('First day.'), to: date('Last day.') }),
      },
      list_buckets: {
        description: 'Lists the storage buckets of a region with their size.',
        schema: input({ region }),
      },
      get_metric: {
        description: 'Returns the values of a metric of one instance over time.',
        schema: input({
          region,
          instance: shaped('Instance.', '^i-[0-9a-f]{8,17}$', 19),
          metric: choice('Which metric.', 'cpu', 'memory', 'network_in', 'network_out'),
          period_minutes: whole('Distance of two values.', 1, 60),
        }),
      },
      list_functions: {
        description: 'Lists the deployed functions of a region with runtime and last change.',
        schema: input({ region }, { max_items: whole('At most this many.', 1, 200) }),
      },
    },
  },
  {
    family: 'home',
    provider: 'home.example.com',
    tools: {
      set_light: {
        description: 'Turns a light on or off, or dims it.',
        schema: input(
          { room: choice('Where.', 'kitchen', 'office', 'bedroom'), on: flag('On or off.') },
          { brightness: whole('Percent.', 1, 100) },
        ),
      },
      get_temperature: {
        description: 'Tells how warm it is in a room.',
        schema: input({ room: choice('Where.', 'kitchen', 'office', 'bedroom') }),
      },
      add_to_shopping_list: {
        description: 'Puts things on the shopping list.',
        schema: input({
          items: list(
            'What to buy.',
            input({ name: text('Thing.', 80), amount: number('How many or how much.', 0, 1_000) }),
            40,
          ),
        }),
      },
    },
  },
  {
    family: 'pictures',
    provider: 'pictures.example.com',
    tools: {
      generate_image: {
        description: 'Draws a picture from a description and returns it.',
        schema: input(
          { scene: text('What is to be seen.', 1_000) },
          {
            width: whole('Pixels.', 64, 2_048),
            height: whole('Pixels.', 64, 2_048),
            steps: whole('More steps give finer pictures and take longer.', 1, 50),
          },
        ),
      },
      translate: {
        description: 'Translates a text. The system language is used when no target is given.',
        schema: input(
          { text: text('What to translate.', 10_000) },
          { target: choice('Into which language.', 'en', 'de', 'fr', 'es', 'ja') },
        ),
      },
    },
  },
]
