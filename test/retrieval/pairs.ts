/**
 * What similarity has to say of pairs of texts (runtime §10.4): each item with two questions it answers, and a question
 * on its topic that it does not answer. Questions of other items are unrelated. Written without regard to any system.
 */

export interface LabelledItem {
  readonly topic: string
  readonly text: string
  /** Paraphrases, or questions whose content words are mostly in the text: one to fit on, one held out. */
  readonly answered: readonly [fit: string, heldOut: string]
  /** The same topic, another question. */
  readonly near: string
}

export const ITEMS: readonly LabelledItem[] = [
  {
    topic: 'refunds',
    text: 'Customers may return any product within 30 days of delivery for a full refund. The item must be unused and in its original packaging.',
    answered: [
      'Within how many days can a product be returned for a refund?',
      'Can customers get a full refund for unused items?',
    ],
    near: 'Who pays for postage when a parcel was damaged on its way?',
  },
  {
    topic: 'password reset',
    text: 'To reset your password, open the sign-in page, choose "Forgot password" and follow the link that we send to your e-mail address.',
    answered: [
      'How do I reset a forgotten password?',
      'Where is the link to reset my password sent?',
    ],
    near: 'How long must a new password be?',
  },
  {
    topic: 'coffee',
    text: 'For filter coffee use 60 grams of coarsely ground beans for each litre of water just below boiling, and let it brew for four minutes.',
    answered: [
      'How many grams of coffee beans per litre of water?',
      'How long should filter coffee brew?',
    ],
    near: 'Which countries grow the most coffee?',
  },
  {
    topic: 'photosynthesis',
    text: 'Photosynthesis turns carbon dioxide and water into glucose and oxygen. Plants use the energy of sunlight, which chlorophyll in their leaves absorbs.',
    answered: [
      'What does photosynthesis turn carbon dioxide and water into?',
      'Which pigment in leaves absorbs sunlight?',
    ],
    near: 'Why do leaves turn red in autumn?',
  },
  {
    topic: 'database backup',
    text: 'The database is backed up every night at 2 a.m. Backups are encrypted and kept for 90 days in a second data centre.',
    answered: [
      'How long are database backups kept?',
      'At what time every night is the database backed up?',
    ],
    near: 'Which index makes a slow database query faster?',
  },
  {
    topic: 'vacation',
    text: 'Employees have 25 days of paid vacation a year. Requests for vacation go to the line manager at least two weeks ahead.',
    answered: [
      'How many days of paid vacation do employees have?',
      'To whom do employees send vacation requests?',
    ],
    near: 'Do employees get paid when they are ill?',
  },
  {
    topic: 'bridge',
    text: 'The suspension bridge across the bay was opened in 1937. Its main span of 1280 metres was the longest in the world until 1964.',
    answered: [
      'When was the suspension bridge across the bay opened?',
      'How long is the main span of the bridge?',
    ],
    near: 'What does it cost to drive across a toll bridge?',
  },
  {
    topic: 'tls',
    text: 'TLS certificates are renewed automatically 30 days before they expire. The web server reloads the new certificate without dropping connections.',
    answered: [
      'When are TLS certificates renewed?',
      'Does the web server drop connections to reload a certificate?',
    ],
    near: 'Which cipher suites does a modern web server offer?',
  },
  {
    topic: 'diabetes',
    text: 'Type 2 diabetes develops when the body no longer responds well to insulin. Exercise, weight loss and a diet with little sugar lower the risk.',
    answered: ['How does type 2 diabetes develop?', 'What lowers the risk of type 2 diabetes?'],
    near: 'How is insulin injected?',
  },
  {
    topic: 'sourdough',
    text: 'Feed the sourdough starter with equal parts of flour and water once a day. After a week it is full of bubbles and ready for baking bread.',
    answered: [
      'How often do I feed a sourdough starter?',
      'When is the sourdough starter ready for baking?',
    ],
    near: 'At which temperature is bread baked?',
  },
  {
    topic: 'rate limit',
    text: 'The API allows 100 requests per minute and key. Beyond the limit it answers with status 429 and a Retry-After header.',
    answered: [
      'How many requests per minute does the API allow?',
      'Which status does the API answer beyond the rate limit?',
    ],
    near: 'How do I create a new key for the API?',
  },
  {
    topic: 'whales',
    text: 'Blue whales are the largest animals that ever lived. An adult can weigh 150 tonnes and eats up to four tonnes of krill a day.',
    answered: [
      'How much can an adult blue whale weigh?',
      'How many tonnes of krill does a blue whale eat a day?',
    ],
    near: 'How do dolphins sleep without drowning?',
  },
  {
    topic: 'garbage collection',
    text: 'The garbage collector frees memory of objects that can no longer be reached. Long pauses are avoided by collecting young objects more often than old ones.',
    answered: [
      'Which objects does the garbage collector free?',
      'How does the garbage collector avoid long pauses?',
    ],
    near: 'How do I find a memory leak with a profiler?',
  },
  {
    topic: 'passport',
    text: 'A passport application needs a biometric photograph, proof of citizenship and a fee of 70 euros. The passport is ready after about four weeks.',
    answered: [
      'What is needed for a passport application?',
      'After how many weeks is a passport ready?',
    ],
    near: 'Do I need a visa to visit Japan?',
  },
  {
    topic: 'deploy',
    text: 'Every merge to the main branch is deployed to staging at once. Deployments to production need the approval of two maintainers.',
    answered: ['Who must approve deployments to production?', 'What is deployed to staging?'],
    near: 'How is a broken release rolled back?',
  },
  {
    topic: 'volcano',
    text: 'Mount Etna in Sicily is the most active volcano in Europe. It erupts several times a year, and its lava seldom reaches villages.',
    answered: ['Which volcano is the most active in Europe?', 'How often does Mount Etna erupt?'],
    near: 'How do scientists predict earthquakes?',
  },
  {
    topic: 'invoice',
    text: 'Invoices are due within 14 days. After a second reminder we charge a late fee of five percent of the amount.',
    answered: [
      'Within how many days are invoices due?',
      'What late fee is charged after the second reminder?',
    ],
    near: 'Which tax number has to stand on an invoice?',
  },
  {
    topic: 'bicycle',
    text: 'Oil the bicycle chain every 200 kilometres. Wipe off the old grease first, or sand will grind down the sprockets.',
    answered: [
      'How often should I oil a bicycle chain?',
      'Why wipe the old grease off the bicycle chain?',
    ],
    near: 'Which tyre pressure does a mountain bicycle need?',
  },
  {
    topic: 'vaccine',
    text: 'The influenza vaccine is renewed each autumn, because the virus mutates. It is recommended for people over 60 and for nurses.',
    answered: [
      'Why is the influenza vaccine renewed each autumn?',
      'For whom is the influenza vaccine recommended?',
    ],
    near: 'What are the first symptoms of measles?',
  },
  {
    topic: 'compiler',
    text: 'The compiler reports an error when a variable may be null where a value is required. Turn on strict mode to find such mistakes early.',
    answered: [
      'When does the compiler report an error for a null variable?',
      'What does strict mode of the compiler find?',
    ],
    near: 'How do I make the compiler run faster?',
  },
  {
    topic: 'museum',
    text: 'The museum is open from Tuesday to Sunday, from 10 a.m. to 6 p.m. Admission is free for children under twelve.',
    answered: [
      'On which days is the museum open?',
      'Is admission to the museum free for children?',
    ],
    near: 'Which painters are shown in the museum of modern art?',
  },
  {
    topic: 'chess',
    text: 'In chess, castling moves the king two squares towards a rook. It is not allowed when the king is in check or has moved before.',
    answered: [
      'When is castling not allowed in chess?',
      'How many squares does the king move in castling?',
    ],
    near: 'Who was the first world champion of chess?',
  },
  {
    topic: 'firewall',
    text: 'The firewall drops all incoming traffic except on port 443. Administrators connect through a bastion host with hardware tokens.',
    answered: [
      'On which port does the firewall accept incoming traffic?',
      'How do administrators connect through the firewall?',
    ],
    near: 'What is the difference between a firewall and a router?',
  },
  {
    topic: 'honey',
    text: 'Bees make honey from nectar. They fan it with their wings until most of its water is gone and close the cells with wax.',
    answered: ['What do bees make honey from?', 'With what do bees close the cells of honey?'],
    near: 'Why are bees disappearing in many regions?',
  },
]
