/** Where the page begins. */

import { browserPorts } from '../cim/browser.js';
import { createClient } from '../cim/client.js';
import { start } from './page.js';

start(createClient(browserPorts()));
