/** Searching, maps, pages of the web, browsers, time and weather. */
import type { ServerTools } from '../entry.ts'
import { choice, flag, input, list, number, shaped, text, whole, words } from '../schema.ts'

const docsUrl = shaped(
  'Page of the documentation.',
  '^https://docs\\.example\\.com/[A-Za-z0-9_/.-]{0,200}$',
  300,
)
const latitude = number('Degrees north.', -90, 90)
const longitude = number('Degrees east.', -180, 180)
const place = shaped('Place, as a search of places returned it.', '^[A-Za-z0-9_-]{20,120}$', 120)
const zone = shaped('IANA time zone.', '^[A-Z][A-Za-z]{1,20}(?:/[A-Z][A-Za-z_]{1,30}){1,2}$', 64)
const element = shaped('Element, as the snapshot of the page names it.', '^e[0-9]{1,6}$', 7)

export const WORLD: readonly ServerTools[] = [
  {
    family: 'search',
    provider: 'search.example.com',
    tools: {
      web_search: {
        description:
          'Searches the web and returns titles, addresses and excerpts. Good for news, recent events and general questions.',
        schema: input(
          { words: words('What to look for.') },
          {
            count: whole('How many results.', 1, 20),
            offset: whole('How many to leave out.', 0, 9),
            freshness: choice('How old they may be.', 'day', 'week', 'month', 'year', 'any'),
          },
        ),
      },
      local_search: {
        description:
          'Finds businesses and places near a location, with opening hours and ratings. Falls back to web_search when there are none.',
        schema: input(
          { words: words('What to look for, and where.') },
          { count: whole('How many.', 1, 20) },
        ),
      },
    },
  },
  {
    family: 'maps',
    provider: 'maps.example.com',
    tools: {
      geocode: {
        description: 'Turns a street address into coordinates.',
        schema: input({ address: text('Street, town and country.', 300) }),
      },
      reverse_geocode: {
        description: 'Turns coordinates into the nearest street address.',
        schema: input({ latitude, longitude }),
      },
      search_places: {
        description: 'Finds places by words, near a point if one is given.',
        schema: input(
          { words: words('What to look for.') },
          { latitude, longitude, radius: whole('Metres around the point.', 1, 50_000) },
        ),
      },
      place_details: {
        description: 'Returns address, opening hours and ratings of a place.',
        schema: input({ place_id: place }),
      },
      directions: {
        description: 'Finds the way from one address to another.',
        schema: input(
          { origin: text('Where it starts.', 300), destination: text('Where it ends.', 300) },
          { mode: choice('How to travel.', 'driving', 'walking', 'bicycling', 'transit') },
        ),
      },
      elevation: {
        description: 'Tells how high points lie above the sea.',
        schema: input({ points: list('Points.', input({ latitude, longitude }), 100) }),
      },
    },
  },
  {
    family: 'documentation',
    provider: 'docs.example.com',
    tools: {
      read_documentation: {
        description: 'Returns a page of the documentation as Markdown. Long pages come in parts.',
        schema: input(
          { url: docsUrl },
          {
            max_length: whole('How many characters at most.', 1, 100_000),
            start_index: whole('Where the next part begins.', 0, 10_000_000),
          },
        ),
      },
      search_documentation: {
        description:
          'Finds pages of the documentation by words. Use specific names of services for better results.',
        schema: input({ words: words('What to look for.') }, { limit: whole('How many.', 1, 50) }),
      },
      recommend: {
        description:
          'Lists pages that belong to a page: popular ones, new ones and those read next.',
        schema: input({ url: docsUrl }),
      },
    },
  },
  {
    family: 'browser',
    provider: 'browser.example.com',
    tools: {
      browser_snapshot: {
        description:
          'Describes the current page as a tree of its accessible elements. Better than a picture for finding what to click.',
        schema: input({}),
      },
      browser_click: {
        description: 'Clicks an element of the current page.',
        schema: input(
          { element },
          {
            button: choice('Which button.', 'left', 'right', 'middle'),
            double: flag('Click twice.'),
          },
        ),
      },
      browser_type: {
        description: 'Types text into a field of the current page.',
        schema: input(
          { element, text: text('What to type.', 2_000) },
          { submit: flag('Press Enter afterwards.') },
        ),
      },
      browser_take_screenshot: {
        description: 'Takes a picture of the current page or of one element.',
        schema: input({}, { element, format: choice('Kind of picture.', 'png', 'jpeg') }),
      },
      browser_resize: {
        description: 'Changes the size of the window.',
        schema: input({
          width: whole('Pixels.', 200, 4_000),
          height: whole('Pixels.', 200, 4_000),
        }),
      },
      browser_navigate: {
        description: 'Opens a page of the shop under test and waits until it is loaded.',
        schema: input({
          url: shaped(
            'Address of the page.',
            '^https://staging\\.shop\\.example\\.com/[A-Za-z0-9_/.-]{0,200}$',
            300,
          ),
        }),
      },
    },
  },
  {
    family: 'time',
    provider: 'time.example.com',
    tools: {
      get_current_time: {
        description: 'Tells the time in a time zone.',
        schema: input({ timezone: zone }),
      },
      convert_time: {
        description: 'Converts a time of day from one zone to another.',
        schema: input({
          source_timezone: zone,
          time: shaped('Time of day, 24 hours.', '^[0-2][0-9]:[0-5][0-9]$', 5),
          target_timezone: zone,
        }),
      },
    },
  },
  {
    family: 'weather',
    provider: 'weather.example.com',
    tools: {
      get_forecast: {
        description: 'Returns the forecast for a point, day by day.',
        schema: input({ latitude, longitude }, { days: whole('How many days.', 1, 14) }),
      },
      get_alerts: {
        description: 'Lists the weather warnings that are in force in a state.',
        schema: input({ state: shaped('Two letters.', '^[A-Z]{2}$', 2) }),
      },
    },
  },
]
