import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { shownName, visibleText } from '../../shared/visible.js';

/** @type {{ names: Record<string, string>, plain: string[], texts: Record<string, string> }} */
const VECTORS = JSON.parse(readFileSync(new URL('../../../tests/vectors/names.json', import.meta.url), 'utf8'));

test('a name that holds what nobody sees does not look like another', () => {
  for (const [name, shown] of Object.entries(VECTORS.names)) assert.equal(shownName(name), shown, JSON.stringify(name));
  for (const name of VECTORS.plain) assert.equal(shownName(name), name);
});

test('texts neither steer what is around them nor hide anything', () => {
  for (const [text, shown] of Object.entries(VECTORS.texts))
    assert.equal(visibleText(text), shown, JSON.stringify(text));
  assert.equal(visibleText('a\uD800b😀'), 'a\uFFFDb😀');
});
